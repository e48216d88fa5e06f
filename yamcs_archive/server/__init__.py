"""The standalone process: an archive, served over HTTP by uvicorn. The only package that imports uvicorn."""
