"""The standalone process: an archive, served over HTTP by granian. The only package that imports granian."""
