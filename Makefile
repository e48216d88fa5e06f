# make serve   install into .venv and serve an instance on an archive in ./data
# make test    all set-up and every test, through tox
# Both need only python3 (3.11 or newer, with venv) and make.

PYTHON ?= python3
PORT ?= 8090
DATA ?= data
INSTANCE ?= simulator

.PHONY: serve test clean

serve: .venv/serve.installed
	exec .venv/bin/yamcs-archive serve --data $(DATA) --instance $(INSTANCE) --port $(PORT)

test: .venv/tox.installed
	.venv/bin/tox run

clean:
	rm -rf .venv .tox build *.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv

# Editable, so that the tree is what runs; again only when the metadata changed.
.venv/serve.installed: .venv/bin/python setup.cfg pyproject.toml
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[server]"
	touch $@

.venv/tox.installed: .venv/bin/python
	.venv/bin/python -m pip install --quiet --disable-pip-version-check "tox>=4.20"
	touch $@
