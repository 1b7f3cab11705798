package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// good is a valid file; tests replace its lines. Line 5 is the account's name.
const good = `archive:
  path: mail
schedule: '@daily'
accounts:
  - name: work
    server: imap.example.com
    username: me
    password_env: PW
`

// faults returns "LINE KEY" of each fault of an error.
func faults(t *testing.T, err error) []string {
	t.Helper()
	var f *Faults
	if !errors.As(err, &f) {
		t.Fatalf("got %v, want *Faults", err)
	}
	var s []string
	for _, x := range f.List {
		s = append(s, fmt.Sprintf("%d %s", x.Line, x.Key))
	}
	return s
}

// fault is an edit of the good file that makes it invalid.
type fault struct {
	name     string
	from, to string   // in good, from becomes to; all of it if from is empty; DIR is a directory
	want     []string // "LINE KEY" of each fault
	text     string   // in the error
}

// secondAccount is an account to append to the good file.
const secondAccount = "\n  - name: other\n    server: b.example.com\n    username: me\n    password_env: PW\n"

// yamlFaults are faults of the file as YAML.
var yamlFaults = []fault{
	{"empty", "", "", []string{"1 "}, "empty"},
	{"only comments", "", "# nothing\n", []string{"1 "}, "empty"},
	{"null", "", "null\n", []string{"1 "}, "empty"},
	{"a list", "", "- a\n", []string{"1 "}, "got a list"},
	{"syntax", "", "archive:\n  path: a\nschedule: @daily\n", []string{"3 "}, "single quotes"},
	{"alias by mistake", "'@daily'", "*/5 * * * *", []string{"3 "}, "single quotes"},
	{"second document", "", good + "---\nx: y\n", []string{"9 "}, "second YAML document"},
	{"second document broken", "", good + "---\nx: @\n", []string{"10 "}, "no valid YAML"},
	{"nothing required", "", "log: {level: info}\n", []string{"1 archive.path", "1 accounts"}, "required"},
	{"unknown key, near", "schedule:", "shedule:", []string{"3 shedule"}, "did you mean schedule?"},
	{"unknown key, far", "schedule:", "quux:", []string{"3 quux"}, "known here: accounts, archive"},
	{"unknown key in account", "    server:", "    severs:", []string{"6 accounts[0].severs"}, "did you mean server?"},
	{"unknown password key", "password_env", "pasword_env", []string{"8 accounts[0].pasword_env"}, "did you mean password_env?"},
	{"unknown key, hostile", "schedule:", `"\e[31m":`, []string{`3 "\x1b[31m"`}, "unknown key"},
	{"merge key", "schedule: '@daily'", "<<: {log: {}}", []string{"3 <<"}, "merge keys"},
	{"key is a list", "schedule: '@daily'", "? [a]\n: b", []string{"3 "}, "expected a key"},
	{"duplicate key", "    username: me", "    server: b.example.com\n    username: me", []string{"7 accounts[0].server"}, "first in line 6"},
	{"too many accounts", "", "archive: {path: a}\naccounts: [" + strings.Repeat("a,", 1001) + "]\n", []string{"2 accounts"}, "at most 1000"},
	{"cyclic aliases", "", "archive: &a {path: *a}\naccounts: &b [*b]\n", []string{"1 archive.path", "2 accounts[0]"}, "got a list"},
	{"many at once", "", "archive: {path: ~/a}\nschedule: x\naccounts:\n  - name: .\n    tls: off\n",
		[]string{"1 archive.path", "2 schedule", "4 accounts[0].server", "4 accounts[0].username", "4 accounts[0].password_file", "4 accounts[0].name", "5 accounts[0].tls"}, ""},
}

// pathFaults are faults of sections, texts and paths.
var pathFaults = []fault{
	{"section is text", "archive:\n  path: mail", "archive: mail", []string{"1 archive"}, "expected keys (id, mode, path)"},
	{"accounts are keys", "  - name: work\n    server", "    server", []string{"5 accounts"}, "expected a list of accounts"},
	{"account is text", "", "archive: {path: a}\naccounts: [work]\n", []string{"2 accounts[0]"}, "got a single value"},
	{"text is a list", "path: mail", "path: [mail]", []string{"2 archive.path"}, "expected text, got a list"},
	{"text is null", "path: mail", "path: ~", []string{"2 archive.path"}, "has no value"},
	{"text is blank", "username: me", "username: ' '", []string{"7 accounts[0].username"}, "has no value"},
	{"a tag", "path: mail", "path: !!binary bWFpbA==", []string{"2 archive.path"}, "tag"},
	{"home", "path: mail", "path: ~/mail", []string{"2 archive.path"}, "~ is not expanded"},
	{"another's home", "path: mail", "path: ~bob/mail", []string{"2 archive.path"}, "write the path in full"},
	{"path with escape", "path: mail", `path: "a\eb"`, []string{"2 archive.path"}, `"`},
	{"archive mode", "path: mail", "path: mail\n  mode: goup", []string{"3 archive.mode"}, "did you mean group?"},
	{"state is archive", "path: mail", "path: mail\nstate: {path: mail}", []string{"3 state.path"}, "is a file"},
	{"state is lock", "path: mail", "path: mail\nstate: {path: mail/lock}", []string{"3 state.path"}, "own"},
	{"socket is state", "path: mail", "path: mail\nstate: {path: s}\ncontrol: {socket: s}", []string{"4 control.socket"}, "state database"},
	{"socket is long", "path: mail", "path: mail\ncontrol: {socket: " + strings.Repeat("s", 100) + "}", []string{"3 control.socket"}, "at most 103"},
}

// limitFaults are faults of the log, limits, schedules and drills.
var limitFaults = []fault{
	{"log level", "schedule: '@daily'", "log: {level: verbose}", []string{"3 log.level"}, "debug, info, warn or error"},
	{"log format", "schedule: '@daily'", "log: {format: jsn}", []string{"3 log.format"}, "did you mean json?"},
	{"limit no number", "schedule: '@daily'", "limits: {connections: many}", []string{"3 limits.connections"}, "expected a number"},
	{"limit octal", "schedule: '@daily'", "limits: {connections: 010}", []string{"3 limits.connections"}, "expected a number"},
	{"limit range", "schedule: '@daily'", "limits: {connections: 257}", []string{"3 limits.connections"}, "between 1 and 256"},
	{"size unit", "schedule: '@daily'", "limits: {largest_message: 150M}", []string{"3 limits.largest_message"}, "150MB"},
	{"rate", "schedule: '@daily'", "limits: {octets_per_second: 10}", []string{"3 limits.octets_per_second"}, "1kB or more"},
	{"schedule", "'@daily'", "daily", []string{"3 schedule"}, "five fields"},
	{"drill is text", "schedule: '@daily'", "drill: '@weekly'", []string{"3 drill"}, "expected keys (sample, schedule)"},
	{"drill's schedule", "schedule: '@daily'", "drill:\n  schedule: weekly", []string{"4 drill.schedule"}, "five fields"},
	{"drill too often", "schedule: '@daily'", "drill: {schedule: '@every 10s'}", []string{"3 drill.schedule"}, "too often"},
	{"drill without a schedule's text", "schedule: '@daily'", "drill:\n  schedule: ''", []string{"4 drill.schedule"}, "has no value"},
	{"sample none", "schedule: '@daily'", "drill:\n  sample: 0", []string{"4 drill.sample"}, "e.g. 5%"},
	{"sample of much", "schedule: '@daily'", "drill:\n  schedule: '@weekly'\n  sample: 101%", []string{"5 drill.sample"}, "100%"},
	{"sample word", "schedule: '@daily'", "drill:\n  sample: \"al\\e\"", []string{"4 drill.sample"}, `"al\x1b"`},
	{"both drill keys", "schedule: '@daily'", "drill:\n  schedule: x\n  sample: few", []string{"4 drill.schedule", "5 drill.sample"}, "no schedule"},
	{"drill key", "schedule: '@daily'", "drill:\n  samples: 5", []string{"4 drill.samples"}, "did you mean sample?"},
}

// nameFaults are faults of account names.
var nameFaults = []fault{
	{"no accounts", "", "archive: {path: a}\naccounts: []\n", []string{"2 accounts"}, "at least one"},
	{"name missing", "- name: work\n    server", "- server", []string{"5 accounts[0].name"}, "required"},
	{"name with slash", "name: work", "name: a/b", []string{"5 accounts[0].name"}, "directory"},
	{"name with control", "name: work", `name: "a\x07b"`, []string{"5 accounts[0].name"}, `"a\ab"`},
	{"name with zero width", "name: work", `name: "a\u200bb"`, []string{"5 accounts[0].name"}, `"a\u200bb"`},
	{"name ..", "name: work", "name: ..", []string{"5 accounts[0].name"}, "dot"},
	{"name -", "name: work", "name: -x", []string{"5 accounts[0].name"}, "dash"},
	{"name archive.json", "name: work", "name: Archive.JSON", []string{"5 accounts[0].name"}, "archive's own"},
	{"name lock", "name: work", "name: lock", []string{"5 accounts[0].name"}, "archive's own"},
	{"name state.db", "name: work", "name: State.db", []string{"5 accounts[0].name"}, "archive's own"},
	{"name month", "name: work", "name: 2026-11", []string{"5 accounts[0].name"}, "archive's own"},
	{"name device", "name: work", "name: Con.x", []string{"5 accounts[0].name"}, "device"},
	{"name long", "name: work", "name: " + strings.Repeat("x", 201), []string{"5 accounts[0].name"}, "201 octets"},
	{"name is the state's", "path: mail", "path: mail\nstate: {path: mail/Work}", []string{"6 accounts[0].name"}, "state.path"},
	{"name is the drills'", "", strings.Replace(strings.Replace(good, "path: mail", "path: mail\nstate: {path: mail/index}", 1), "work", "Index.drills", 1), []string{"6 accounts[0].name"}, "index.drills, which state.path puts"},
	{"name twice", "", good + strings.Replace(secondAccount, "other", "work", 1), []string{"10 accounts[1].name"}, "account work in line 5"},
	{"name case", "", good + strings.Replace(secondAccount, "other", "WORK", 1), []string{"10 accounts[1].name"}, "same directory"},
	{"name sharp s", "", strings.Replace(good, "work", "straße", 1) + strings.Replace(secondAccount, "other", "STRASSE", 1), []string{"10 accounts[1].name"}, "same directory"},
	{"name NFC NFD", "", strings.Replace(good, "work", "Jos\u00e9", 1) + strings.Replace(secondAccount, "other", "jose\u0301", 1), []string{"10 accounts[1].name"}, "same directory"},
}

// serverFaults are faults of an account's server, TLS, connections and mailboxes.
var serverFaults = []fault{
	{"server missing", "    server: imap.example.com\n", "", []string{"5 accounts[0].server"}, "required"},
	{"server URL", "imap.example.com", "imaps://a.b", []string{"6 accounts[0].server"}, "URL"},
	{"server port", "imap.example.com", "a.b:99999", []string{"6 accounts[0].server"}, "65535"},
	{"server is a list", "imap.example.com", "[::1]:993", []string{"5 "}, "in or just below"},
	{"username missing", "    username: me\n", "", []string{"5 accounts[0].username"}, "required"},
	{"username CRLF", "username: me", `username: "a\r\nb"`, []string{"7 accounts[0].username"}, `"a\r\nb"`},
	{"tls", "username: me", "username: me\n    tls: ssl", []string{"8 accounts[0].tls"}, "implicit, starttls or none"},
	{"tls none", "username: me", "username: me\n    tls: none", []string{"8 accounts[0].tls"}, "allow_plaintext: true"},
	{"allow_plaintext", "username: me", "username: me\n    allow_plaintext: yes", []string{"8 accounts[0].allow_plaintext"}, "true or false"},
	{"tls_min_version", "username: me", "username: me\n    tls_min_version: 1.1", []string{"8 accounts[0].tls_min_version"}, "1.2 or 1.3"},
	{"fingerprint", "username: me", "username: me\n    tls_fingerprint: 12:34", []string{"8 accounts[0].tls_fingerprint"}, "64 hex digits"},
	{"CA missing", "username: me", "username: me\n    tls_ca_file: none.pem", []string{"8 accounts[0].tls_ca_file"}, "no such file"},
	{"CA empty", "username: me", "username: me\n    tls_ca_file: DIR/notca.pem", []string{"8 accounts[0].tls_ca_file"}, "no certificate"},
	{"CA endless", "username: me", "username: me\n    tls_ca_file: /dev/zero", []string{"8 accounts[0].tls_ca_file"}, "not a regular file"},
	{"TLS keys without TLS", "imap.example.com", "localhost\n    tls: none\n    tls_fingerprint: " + strings.Repeat("ab", 32), []string{"8 accounts[0].tls_fingerprint"}, "no effect"},
	{"auth", "username: me", "username: me\n    auth: cram", []string{"8 accounts[0].auth"}, "auto, plain or login"},
	{"connections", "username: me", "username: me\n    connections: 0", []string{"8 accounts[0].connections"}, "between 1 and 32"},
	{"compress", "username: me", "username: me\n    compress: yes", []string{"8 accounts[0].compress"}, "auto, on or off"},
	{"timeout unit", "username: me", "username: me\n    timeout: 60", []string{"8 accounts[0].timeout"}, "unit"},
	{"timeout range", "username: me", "username: me\n    timeout: 2h", []string{"8 accounts[0].timeout"}, "between 1s and 1h"},
	{"account's schedule", "username: me", "username: me\n    schedule: '@every 5s'", []string{"8 accounts[0].schedule"}, "too often"},
	{"patterns are text", "username: me", `username: me` + "\n    mailboxes: {exclude: '\\Junk'}", []string{"8 accounts[0].mailboxes.exclude"}, `['\Junk'`},
	{"pattern", "username: me", `username: me` + "\n    mailboxes:\n      include:\n        - INBOX\n        - \\Jnuk", []string{"11 accounts[0].mailboxes.include[1]"}, `did you mean \Junk?`},
	{"two patterns in a line", "username: me", `username: me` + "\n    mailboxes: {exclude: [\\X], include: [\\Y]}", []string{"8 accounts[0].mailboxes.include[0]", "8 accounts[0].mailboxes.exclude[0]"}, "unknown special use"},
}

// passwordFaults are faults of an account's password.
var passwordFaults = []fault{
	{"no password", "    password_env: PW\n", "", []string{"5 accounts[0].password_file"}, "no password is given"},
	{"two passwords", "username: me", "username: me\n    password: x", []string{"8 accounts[0].password"}, "password_env is given as well"},
	{"command is text", "password_env: PW", "password_command: pass show x", []string{"8 accounts[0].password_command"}, "[pass, show, mail/work]"},
	{"variable", "password_env: PW", "password_env: A=B", []string{"8 accounts[0].password_env"}, "variable"},
	{"credential", "password_env: PW", "password_credential: ../x", []string{"8 accounts[0].password_credential"}, "credential"},
	{"password of two", "password_env: PW", `password: "\nx"`, []string{"8 accounts[0].password"}, "empty"},
	{"password file open", "password_env: PW", "password_file: DIR/open", []string{"8 accounts[0].password_file"}, "chmod 600 DIR/open"},
	{"password file group", "password_env: PW", "password_file: DIR/group", []string{"8 accounts[0].password_file"}, "chmod 600 DIR/group"},
	{"password file device", "password_env: PW", "password_file: /dev/zero", []string{"8 accounts[0].password_file"}, "not a regular file"},
}

// TestFaults edits the good file. Every fault is reported with its line and key, and
// no line of the error has characters that are not printable.
func TestFaults(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"open": 0o644, "group": 0o640, "notca.pem": 0o644} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte("secret\n"), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	for _, group := range []struct {
		name   string
		faults []fault
	}{
		{"YAML", yamlFaults}, {"paths", pathFaults}, {"limits", limitFaults},
		{"names", nameFaults}, {"servers", serverFaults}, {"passwords", passwordFaults},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, f := range group.faults {
				t.Run(f.name, func(t *testing.T) { f.check(t, dir) })
			}
		})
	}
}

func (f fault) check(t *testing.T, dir string) {
	if !strings.Contains(good, f.from) {
		t.Fatalf("%q is not in the good file", f.from)
	}
	text := f.to
	if f.from != "" {
		text = strings.Replace(good, f.from, f.to, 1)
	}
	text = strings.ReplaceAll(text, "DIR", dir)
	c, err := Parse("dir/config.yaml", []byte(text))
	if c != nil || err == nil {
		t.Fatalf("accepted:\n%s", text)
	}
	if got := faults(t, err); !slices.Equal(got, f.want) {
		t.Errorf("got %q, want %q\n%v", got, f.want, err)
	}
	if want := strings.ReplaceAll(f.text, "DIR", dir); !strings.Contains(err.Error(), want) {
		t.Errorf("%q is not in: %v", want, err)
	}
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSuffix(line, "\n"); !strings.HasPrefix(line, "dir/config.yaml:") || hasInvisible(line) {
			t.Errorf("no printable line with the file's name: %q", line)
		}
	}
}

func TestLoadChecksTheFileItself(t *testing.T) {
	inline := strings.Replace(good, "password_env: PW", "password: hunter2", 1)
	for _, test := range []struct {
		name, text string
		mode       os.FileMode
		want       []string
	}{
		{"private", inline, 0o600, nil},
		{"inline, group", inline, 0o640, []string{"8 accounts[0].password"}},
		{"inline, world", inline, 0o604, []string{"8 accounts[0].password"}},
		{"no secret", good, 0o644, nil},
		{"world-writable", good, 0o646, []string{"1 "}},
	} {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, test.mode); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if test.want == nil {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if got := faults(t, err); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
		if !strings.Contains(err.Error(), "chmod 600 "+path) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", test.name, err)
		}
		t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(path))
		if _, err := Load(path); err != nil {
			t.Errorf("%s, as a credential: %v", test.name, err)
		}
		t.Setenv("CREDENTIALS_DIRECTORY", "")
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("a directory was read")
	}
	if _, err := Load("/dev/zero"); err == nil {
		t.Error("an endless file was read")
	}
}
