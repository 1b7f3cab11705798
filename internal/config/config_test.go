package config

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const example = "../../config.example.yaml"

func TestExampleLoads(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", "/run/archiverd:/run/other")
	c, err := Load(example)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.State.Path, "/var/lib/archiverd/state.db"; got != want {
		t.Errorf("state %s, want %s", got, want)
	}
	if got, want := c.Control.Socket, "/run/archiverd/control.sock"; got != want {
		t.Errorf("socket %s, want %s", got, want)
	}
	a := c.Accounts[0]
	if a.Name != "work" || a.Address() != "imap.example.com:993" || a.Schedule != "@hourly" || a.Line == 0 {
		t.Errorf("first account: %+v", a)
	}
}

// uncommented returns the example with its commented keys active.
func uncommented(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^( *)#([a-z])`).ReplaceAll(text, []byte("$1$2"))
}

// TestExampleHasEveryKey: the example, with its commented keys active, has every key of
// the decoder.
func TestExampleHasEveryKey(t *testing.T) {
	c := Defaults()
	r := c.report()
	d := decode(c, uncommented(t), r)
	if err := r.err(); err != nil {
		t.Fatal(err)
	}
	if len(d.known) < 30 {
		t.Fatalf("the decoder knows only %d keys", len(d.known))
	}
	for key := range d.known {
		key = strings.Replace(key, "accounts[1]", "accounts[0]", 1) // the second account has the required keys only
		if _, ok := r.lines[key]; !ok {
			t.Errorf("the example does not show %s", key)
		}
	}
}

// TestExampleHasTheDefaults compares the defaults in the example with those of the code.
func TestExampleHasTheDefaults(t *testing.T) {
	c := Defaults()
	c.Matching, c.MatchingCheck, c.Reopen = "", 0, 0
	c.Schedule, c.Log.Format, c.Limits.Connections, c.Limits.Message, c.Drill.Sample = "", "", 0, 0, Sample{}
	decode(c, uncommented(t), c.report())
	want := Defaults()
	if c.Drill.Sample != want.Drill.Sample || want.Drill.Schedule != "" {
		t.Errorf("example %v, defaults %+v", c.Drill.Sample, want.Drill)
	}
	if c.Matching != want.Matching || c.MatchingCheck != want.MatchingCheck || c.Accounts[0].MatchingCheck != want.MatchingCheck {
		t.Errorf("example %s %v, defaults %s %v", c.Matching, c.MatchingCheck, want.Matching, want.MatchingCheck)
	}
	if c.Reopen != want.Reopen {
		t.Errorf("example %v, default %v", c.Reopen, want.Reopen)
	}
	if c.Schedule != want.Schedule || c.Log != want.Log || c.Limits != want.Limits || c.Archive.Group != want.Archive.Group {
		t.Errorf("example %+v %+v %s, defaults %+v %+v %s", c.Log, c.Limits, c.Schedule, want.Log, want.Limits, want.Schedule)
	}
	a, b := c.Accounts[0], defaultAccount()
	if a.TLS != b.TLS || a.TLSMinVersion != b.TLSMinVersion || a.Auth != b.Auth || a.Compress != b.Compress || a.Connections != b.Connections || a.Timeout != b.Timeout || a.AllowPlaintext != b.AllowPlaintext {
		t.Errorf("example %+v, defaults %+v", a, b)
	}
}

func TestEveryValueArrives(t *testing.T) {
	c, err := Parse("/etc/archiverd/config.yaml", []byte(`
archive: {path: mail, mode: group, id: nekt22}
state: {path: ../s.db}
control: {socket: c.sock}
schedule: &daily '@daily'
drill: {schedule: ' 0 5 1 * * ', sample: 2.5%}
log: {level: warn, format: json}
matching: off
matching_check: 1.25%
limits: {connections: 3, octets_per_second: 2MB, largest_message: 64MiB}
accounts:
  - name: 2024
    server: mail_server:1143
    tls: none
    allow_plaintext: true
    username: 0123
    password_command: [./get pass, --for, 'a b']
    auth: plain
    mailboxes:
      include: [INBOX, "A*"]
      exclude: [\Junk]
    connections: 2
    compress: on
    schedule: CRON_TZ=Europe/Berlin 30 4 * * *
    timeout: 1m30s
    matching: on
    matching_check: 100%
  - {name: Büro, server: bücher.example, username: b, password: 12345, tls: starttls, tls_min_version: 1.3, schedule: *daily,
     tls_fingerprint: sha256:`+strings.Repeat("AB:", 31)+`ab, mailboxes: {include: }}
index: {enabled: true, path: words}
reopen: 6h
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Defaults()
	want.Archive.Path, want.Archive.Group, want.Archive.ID, want.Archive.Memory = "/etc/archiverd/mail", true, "nekt22", c.Archive.Memory
	want.State.Path, want.Control.Socket = "/etc/s.db", "/etc/archiverd/c.sock"
	want.Index.Enabled, want.Index.Path = true, "/etc/archiverd/words"
	want.Schedule, want.Log.Level, want.Log.Format = "@daily", slog.LevelWarn, "json"
	want.Matching, want.MatchingCheck, want.Reopen = "off", 0.0125, 6*time.Hour
	want.Drill.Schedule, want.Drill.Sample = "0 5 1 * *", Sample{Percent: 2.5}
	want.Limits.Connections, want.Limits.Rate, want.Limits.Message = 3, 2_000_000, 64<<20
	want.Accounts = []Account{{
		Name: "2024", Host: "mail_server", Port: 1143, TLS: "none", AllowPlaintext: true, TLSMinVersion: "1.2", Username: "0123",
		PasswordCommand: []string{"/etc/archiverd/get pass", "--for", "a b"}, Auth: "plain", Include: []string{"INBOX", "A*"}, Exclude: []string{`\Junk`},
		Compress: "on", Connections: 2, Schedule: "CRON_TZ=Europe/Berlin 30 4 * * *", Timeout: 90 * time.Second, Line: 12, Matching: "on", MatchingCheck: 1,
	}, {
		Name: "Büro", Host: "xn--bcher-kva.example", Port: 143, TLS: "starttls", TLSMinVersion: "1.3", TLSFingerprint: "sha256:" + strings.Repeat("AB:", 31) + "ab",
		Username: "b", password: newSecret([]byte("12345")), Auth: "auto", Compress: "auto", Connections: 4, Schedule: "@daily", Timeout: time.Minute, Line: 28, Matching: "off", MatchingCheck: 0.0125,
	}}
	want.file, want.lines = c.file, c.lines
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%+v\nwant\n%+v", c, want)
	}
}

func TestServer(t *testing.T) {
	for _, test := range []struct{ server, tls, want string }{
		{"imap.example.com", "implicit", "imap.example.com:993"},
		{"imap.example.com", "starttls", "imap.example.com:143"},
		{"localhost", "none", "localhost:143"},
		{"imap.example.com.:1", "implicit", "imap.example.com.:1"},
		{"192.0.2.1:65535", "implicit", "192.0.2.1:65535"},
		{"2001:db8::1", "implicit", "[2001:db8::1]:993"},
		{"[2001:DB8::1]", "starttls", "[2001:db8::1]:143"},
		{"[2001:db8::1]:1993", "implicit", "[2001:db8::1]:1993"},
		{"[fe80::1%eth0]:993", "implicit", "[fe80::1%eth0]:993"},
		{"bücher.example:993", "implicit", "xn--bcher-kva.example:993"},
		{"127.0.0.9", "none", "127.0.0.9:143"},
		{"[::1]:1143", "none", "[::1]:1143"},
	} {
		c, err := Single(Flags{Server: test.server, TLS: test.tls, Username: "me", Archive: "a"})
		if err != nil {
			t.Errorf("%s: %v", test.server, err)
			continue
		}
		if got := c.Accounts[0].Address(); got != test.want {
			t.Errorf("%s: got %s, want %s", test.server, got, test.want)
		}
	}
	for _, server := range []string{"a b", "a:", ":993", "a:0", "a:-1", "a:65536", "a:imaps", "[::1", "[::1]993", "[127.0.0.1]", "::1]:993", "a..b", "-a", ".", "imap.example.com/x", "me@imap.example.com", "fe80::1%\x1b", "1:2:3", strings.Repeat("a.", 130) + "b", "a\x00b", "ü\x00", strings.Repeat("a", 64)} {
		if _, err := Single(Flags{Server: server, Username: "me", Archive: "a"}); err == nil {
			t.Errorf("%q was accepted", server)
		} else if got := faults(t, err); !slices.Equal(got, []string{"0 server"}) || hasInvisible(err.Error()) {
			t.Errorf("%q: %q", server, err)
		}
	}
	for _, server := range []string{"192.0.2.1", "localhost.example.com", "128.0.0.1", "127.1", "[2001:db8::1]", "[::]"} {
		if _, err := Single(Flags{Server: server, TLS: "none", Username: "me", Archive: "a"}); err == nil {
			t.Errorf("%s without TLS was accepted", server)
		}
		if _, err := Single(Flags{Server: server, TLS: "none", AllowPlaintext: true, Username: "me", Archive: "a"}); err != nil {
			t.Error(err)
		}
	}
}

func TestSingle(t *testing.T) {
	c, err := Single(Flags{Server: "imap.example.com", Username: "me@example.com", Archive: "mail"})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	a := &c.Accounts[0]
	if c.Archive.Path != filepath.Join(dir, "mail") || a.Name != "me@example.com" || a.Port != 993 {
		t.Errorf("got %+v", c)
	}
	if _, err := a.Password(t.Context()); err == nil || !strings.Contains(err.Error(), "account me@example.com: password: no password") {
		t.Errorf("before SetPassword: %v", err)
	}
	typed := []byte("hunter2")
	a.SetPassword(typed)
	clear(typed)
	for range 2 { // to wipe what Password returned must not wipe the account's password
		secret, err := a.Password(t.Context())
		if err != nil || string(secret.Bytes()) != "hunter2" {
			t.Fatalf("%q, %v", secret.Bytes(), err)
		}
		secret.Wipe()
	}
	if c, err := Single(Flags{Server: "[::1]", Username: `DOMAIN\me`, Archive: "a"}); err != nil || c.Accounts[0].Name != "__1" {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = Single(Flags{})
	if got, want := faults(t, err), []string{"0 archive.path", "0 server", "0 username"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := err.Error(); !strings.HasPrefix(got, "archive.path: is required") {
		t.Error(got)
	}
}

func TestControlSocketDefault(t *testing.T) {
	for _, test := range []struct{ runtime, xdg, want string }{
		{"/run/archiverd", "/run/user/1", "/run/archiverd/control.sock"},
		{"", "/run/user/1", "/run/user/1/archiverd/control.sock"},
		{"relative", "relative", "/m/control.sock"},
		{"", "", "/m/control.sock"},
	} {
		t.Setenv("RUNTIME_DIRECTORY", test.runtime)
		t.Setenv("XDG_RUNTIME_DIR", test.xdg)
		c, err := Single(Flags{Server: "a", Username: "me", Archive: "/m"})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Control.Socket; got != test.want {
			t.Errorf("%q %q: got %s, want %s", test.runtime, test.xdg, got, test.want)
		}
	}
}

// What remembers the archives lies outside the archive, with which it would vanish.
func TestMemoryIsOutsideTheArchive(t *testing.T) {
	for _, test := range []struct{ systemd, xdg, home, want string }{
		{"/var/lib/a", "/x", "/h", "/var/lib/a/archives"},
		{"/m:/m/deeper:/var/lib/b", "/x", "/h", "/var/lib/b/archives"},
		{"/m", "/x", "/h", "/x/archiverd/archives"},
		{"", "", "/h", "/h/.local/state/archiverd/archives"},
		{"", "relative", "/h", "/h/.local/state/archiverd/archives"},
		{"/m", "", "/m", ""},
		{"", "/m/state", "", ""},
		{"", "", "", ""},
	} {
		t.Setenv("STATE_DIRECTORY", test.systemd)
		t.Setenv("XDG_STATE_HOME", test.xdg)
		t.Setenv("HOME", test.home)
		c, err := Single(Flags{Server: "a", Username: "me", Archive: "/m"})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Archive.Memory; got != test.want {
			t.Errorf("%+v: got %q", test, got)
		}
	}
}

func TestSize(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "1": 1, "1B": 1, "2kB": 2000, "2 KB": 2000, "2KiB": 2048, "150MB": 150e6, "64MiB": 64 << 20, "1gb": 1e9, "1GiB": 1 << 30, "3TB": 3e12, "1TiB": 1 << 40} {
		if got, err := parseSize(s); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "MB", "-1", "+1", "1.5GB", "1M", "1Mi", "1 B B", "1PB", "010", "9223372036854775807kB", "9999999TiB", "0x10", "1e3", "1_000", "1iB"} {
		if n, err := parseSize(s); err == nil {
			t.Errorf("%q was read as %d", s, n)
		}
	}
}

func TestSchedule(t *testing.T) {
	for _, s := range []string{"0 4 * * *", "*/5 * * * 1-5", "@hourly", "@daily", "@every 1m", "@every 90m", "CRON_TZ=Europe/Berlin 30 4 * * *", "TZ=UTC @daily", "0 0 29 2 *"} {
		if err := checkSchedule(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for s, want := range map[string]string{
		"":                      "no schedule",
		"0 4 * *":               "five fields",
		"0 0 4 * * *":           "five fields",
		"60 * * * *":            "above maximum",
		"* * * * 7":             "above maximum",
		"@reboot":               "unrecognized",
		"@every 59s":            "too often",
		"@every -1h":            "too often",
		"@every soon":           "no schedule",
		"CRON_TZ=Europe/Berlin": "time zone without",
		"CRON_TZ=":              "time zone without",
		"CRON_TZ=UTC ":          "no schedule",
		"TZ=No/Where @daily":    "bad location",
		"0 0 30 2 *":            "never",
		", * * * *":             "empty field",
		"* * * , *":             "empty field",
		"*/0 * * * *":           "positive",
	} {
		if err := checkSchedule(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", s, err, want)
		}
	}
}

func TestLogLevels(t *testing.T) {
	for name, want := range map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		c, err := Parse("c.yaml", []byte(good+"log: {level: "+name+"}\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Log.Level; got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
