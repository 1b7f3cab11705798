# What one does with this tree. On a fresh machine with Go and make:
#   make demo     see the main job run
#   make test     prove it: installs what the tests need where it may, then runs them
#   make prove    the proofs that take long

PREFIX   ?= /usr/local
DESTDIR  ?=
FUZZTIME ?= 20s

.PHONY: build demo test prove check quick fuzz bench bench-peers install clean

# The version comes from git, through what Go stamps into the binary.
build:
	CGO_ENABLED=0 go build -trimpath -o bin/archiverd ./cmd/archiverd

# A throw-away IMAP server in the process, archived before your eyes. Needs Go alone.
demo: build
	bin/archiverd demo

# Every test, with the race detector. A machine without Dovecot or Cyrus is a failure here, not a
# skipped test. With -short the random tests take fewer rounds; `make prove` runs them in full.
test:
	scripts/need-servers
	$(MAKE) check
	ARCHIVERD_REQUIRE_DOVECOT=1 ARCHIVERD_REQUIRE_CYRUS=1 go test -short -race -shuffle=on -timeout 25m ./cmd/archiverd ./sync ./sync/restore ./...

# What takes long: the tests that -short cuts, and each fuzz target for five seconds.
prove:
	ARCHIVERD_REQUIRE_DOVECOT=1 ARCHIVERD_REQUIRE_CYRUS=1 scripts/prove 5s

# What can be checked without running anything. The linter's version is that of tools/go.mod.
check:
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	go tool -modfile=tools/go.mod golangci-lint run
	go mod tidy -diff
	scripts/check-docs
	scripts/licenses --check

# While working: no Dovecot, no Cyrus, no long test.
quick:
	go test -short ./...

# Each fuzz target for FUZZTIME.
fuzz:
	scripts/fuzz $(FUZZTIME)

# Time, CPU and peak memory against a real Dovecot: a first run, one without changes, one with new mail; and the way back.
bench:
	go run ./internal/bench
	go run ./internal/bench -restore
	go run ./internal/bench -restore -rtt 40ms -messages 500

# Beside other clients and the physical limit, on the corpus small, mid or many: make bench-peers CORPUS=mid
bench-peers:
	scripts/bench-peers $(or $(CORPUS),small) $(or $(ROUNDS),3)

# Packages: make install DESTDIR=debian/archiverd PREFIX=/usr
install: bin/archiverd
	install -D -m 755 bin/archiverd $(DESTDIR)$(PREFIX)/bin/archiverd
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|/usr/bin/archiverd|$(PREFIX)/bin/archiverd|' systemd/archiverd.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/archiverd.service
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/archiverd.service
	install -D -m 644 systemd/archiverd.sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/archiverd.conf
	install -D -m 644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/archiverd/LICENSE
	install -D -m 644 cmd/archiverd/licenses.txt $(DESTDIR)$(PREFIX)/share/doc/archiverd/LICENSES.third-party
	install -D -m 644 config.example.yaml $(DESTDIR)/etc/archiverd/config.example.yaml
	install -d -m 700 $(DESTDIR)/etc/archiverd/credentials

bin/archiverd:
	$(MAKE) build

clean:
	rm -rf bin
