# make test     the whole gate; .ci/run calls it and nothing else decides
# make bench    speed against peers, with a table in reports/benchmarks.md
# make profile  instructions a request, counted by callgrind; bench/PROFILE.md tells what was found
# make soak     a minute of operations under load, on a proxy of its own
# make docs     the pages that are generated from the code

CARGO ?= cargo
DENY := target/tools/bin/cargo-deny

.PHONY: test format clippy deny unit bench profile soak docs
.DELETE_ON_ERROR:

test: format clippy deny unit

format:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

# Advisories need the internet: the GitHub workflow checks them.
# Built without optimisation, which is quicker; a check takes seconds either way.
deny: $(DENY)
	$(DENY) --locked check licenses bans sources

$(DENY):
	$(CARGO) install --debug --locked --root target/tools cargo-deny@0.20.2

unit:
	$(CARGO) test --workspace --locked

bench:
	bench/run

# Needs valgrind, nginx and wrk.
profile:
	$(CARGO) build --release --locked
	python3 bench/profile.py

soak:
	$(CARGO) test --locked -p lab --test soak -- --ignored --nocapture

docs:
	UPDATE_GOLDEN=1 $(CARGO) test --locked -p scenario
