"""The standalone process: an archive behind a real server. The only room that knows granian."""
