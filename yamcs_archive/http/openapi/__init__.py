"""The OpenAPI description of the HTTP API: each route brings its own part, one document is made of all."""
