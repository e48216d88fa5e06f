# make serve   install into .venv and serve an instance on an archive in ./data
# make test    all set-up and every test, through tox
# make bench   measure this archive beside SQLite, RocksDB and raw LMDB; ARGS="--quick" for a short run
# make docs    build these pages as a site into build/docs; a warning is an error
# make clean   remove everything that these have created, except ./data
# They need only make and python3 (3.11 or newer, with venv). To use another one: PYTHON=python3.12 make …

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8090
DATA ?= data
INSTANCE ?= simulator

.PHONY: serve test bench docs clean

serve: .venv/serve.installed
	exec .venv/bin/yamcs-archive serve --data "$(DATA)" --instance "$(INSTANCE)" --host "$(HOST)" --port "$(PORT)"

test: .venv/tox.installed
	.venv/bin/tox run

bench: .venv/bench.installed
	.venv/bin/python -m benchmarks $(ARGS)

docs: .venv/docs.installed
	.venv/bin/python -m sphinx --quiet --fail-on-warning --keep-going docs build/docs

clean:
	rm -rf .venv docs/generated .tox build *.egg-info

# A venv without pip does not count: Debian leaves one if python3-venv is not installed.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11: name a newer one with PYTHON=" >&2; exit 1; }
	$(PYTHON) -m venv .venv

# Editable, so that the checkout itself runs. Repeated only when the metadata changes.
.venv/serve.installed: .venv/bin/pip setup.cfg pyproject.toml
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[server]"
	touch $@

.venv/tox.installed: .venv/bin/pip
	.venv/bin/python -m pip install --quiet --disable-pip-version-check "tox>=4.20"
	touch $@

.venv/docs.installed: .venv/serve.installed
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[server,docs]"
	touch $@

.venv/bench.installed: .venv/serve.installed
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[server,bench,test]"
	touch $@
