package config

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// store writes a file with a mode and returns its path.
func store(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPasswordSources(t *testing.T) {
	script := store(t, "#!/bin/sh\nprintf '%s\\r\\nsecond line\\n' \"$1:$#\"\n", 0o700)
	credentials := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", credentials)
	for name, text := range map[string]string{"plain": "p1\n", "account_work": "p2", "both": "right", "account_both": "wrong", "file": "p3"} {
		if err := os.Rename(store(t, text, 0o440), filepath.Join(credentials, name)); err != nil { // 0440: as systemd shows them with an access list
			t.Fatal(err)
		}
	}
	t.Setenv("ARCHIVERD_TEST_PASSWORD", "from the environment\n")
	inline := newSecret([]byte("inline"))
	for _, test := range []struct {
		name string
		a    Account
		want string
	}{
		{"file", Account{PasswordFile: store(t, "p wörd \nother\n", 0o600)}, "p wörd "},
		{"file without line end", Account{PasswordFile: store(t, "p", 0o400)}, "p"},
		{"file with CRLF", Account{PasswordFile: store(t, "p\r\n", 0o600)}, "p"},
		{"file with wild octets", Account{PasswordFile: store(t, "\xff\x01$HOME", 0o600)}, "\xff\x01$HOME"},
		{"file among credentials", Account{PasswordFile: filepath.Join(credentials, "file")}, "p3"},
		{"command", Account{PasswordCommand: []string{script, "a b; $(id)", "two"}}, "a b; $(id):2"},
		{"command in PATH", Account{PasswordCommand: []string{"echo", "p  w"}}, "p  w"},
		{"command that leaves a child", Account{PasswordCommand: []string{"sh", "-c", "echo p; sleep 10 &"}}, "p"},
		{"environment", Account{PasswordEnv: "ARCHIVERD_TEST_PASSWORD"}, "from the environment"},
		{"credential", Account{PasswordCredential: "plain"}, "p1"},
		{"credential of a directory", Account{PasswordCredential: "work"}, "p2"},
		{"credential, both", Account{PasswordCredential: "both"}, "right"},
		{"inline", Account{password: inline}, "inline"},
	} {
		t.Run(test.name, func(t *testing.T) {
			secret, err := test.a.Password(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := string(secret.Bytes()); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			secret.Wipe()
		})
	}
	if got := string(inline.Bytes()); got != "inline" {
		t.Errorf("wiping the result wiped the account's: %q", got)
	}
}

func TestPasswordFaults(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", t.TempDir())
	t.Setenv("ARCHIVERD_TEST_PASSWORD", "")
	missing := filepath.Join(t.TempDir(), "none")
	for _, test := range []struct {
		name string
		a    Account
		want string
	}{
		{"file missing", Account{PasswordFile: missing}, "password_file: open " + missing + ": no such file or directory: create it"},
		{"file open to others", Account{PasswordFile: store(t, "hunter2", 0o604)}, "chmod 600 "},
		{"file open to the group", Account{PasswordFile: store(t, "hunter2", 0o640)}, "(mode 0640): chmod 600 "},
		{"file empty", Account{PasswordFile: store(t, "\nhunter2", 0o600)}, "password is empty"},
		{"file with NUL", Account{PasswordFile: store(t, "hunter2\x00", 0o600)}, "NUL"},
		{"file huge", Account{PasswordFile: store(t, strings.Repeat("hunter2", 10000), 0o600)}, "more than 65536 octets"},
		{"file is a directory", Account{PasswordFile: t.TempDir()}, "not a regular file"},
		{"command missing", Account{PasswordCommand: []string{missing}}, "password_command: run " + missing},
		{"command fails", Account{PasswordCommand: []string{"sh", "-c", "echo hunter2; echo >&2 'no key: hunter2 '; printf >&2 '\\033[31m'; exit 3"}}, `run sh: exit status 3: "no key: *** \n\x1b[31m"`},
		{"command fails in silence", Account{PasswordCommand: []string{"false"}}, "run false: exit status 1"},
		{"command prints nothing", Account{PasswordCommand: []string{"true"}}, "password is empty"},
		{"command prints without end", Account{PasswordCommand: []string{"yes", "hunter2"}}, "yes printed more than 65536 octets"},
		{"command says much", Account{PasswordCommand: []string{"sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1"}}, "xxx"},
		{"environment unset", Account{PasswordEnv: "ARCHIVERD_TEST_UNSET"}, "password_env: the environment has no variable ARCHIVERD_TEST_UNSET"},
		{"environment empty", Account{PasswordEnv: "ARCHIVERD_TEST_PASSWORD"}, "empty"},
		{"credential missing", Account{PasswordCredential: "work"}, "password_credential: no credential work or account_work: systemd-creds encrypt"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.a.Name = "work"
			secret, err := test.a.Password(t.Context())
			if err == nil {
				t.Fatalf("got a password of %d octets", len(secret.Bytes()))
			}
			text := err.Error()
			if !strings.HasPrefix(text, "account work: password") || !strings.Contains(text, test.want) {
				t.Errorf("%s\nwant %s", text, test.want)
			}
			if strings.Contains(text, "hunter2") || hasInvisible(text) || len(text) > 1000 {
				t.Errorf("leaks or is not printable: %q", text)
			}
		})
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	a := Account{Name: "work", PasswordCredential: "work"}
	if _, err := a.Password(t.Context()); err == nil || !strings.Contains(err.Error(), "CREDENTIALS_DIRECTORY is not set") {
		t.Error(err)
	}
}

// TestPasswordCommandIsBoundByContext: a command that does not end is killed with its
// context.
func TestPasswordCommandIsBoundByContext(t *testing.T) {
	a := Account{Name: "work", PasswordCommand: []string{"sh", "-c", "trap '' TERM; echo hunter2; sleep 300; sleep 300"}}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := a.Password(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "did not end in time") {
		t.Errorf("deadline: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := a.Password(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancel: %v", err)
	}
	if elapsed := time.Since(begin); elapsed > 2*time.Minute {
		t.Errorf("took %v", elapsed)
	}
}

func TestPasswordIsReadAnew(t *testing.T) {
	a := Account{PasswordFile: store(t, "old", 0o600)}
	for _, want := range []string{"old", "new"} {
		if err := os.WriteFile(a.PasswordFile, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := a.Password(t.Context()); err != nil || string(s.Bytes()) != want {
			t.Errorf("got %q, %v, want %q", s.Bytes(), err, want)
		}
	}
}

func TestCheckSecrets(t *testing.T) {
	c, err := Parse("c.yaml", []byte(`archive: {path: a}
accounts:
  - {name: a, server: a, username: a, password_file: /nonexistent/a}
  - {name: b, server: a, username: a, password_env: ARCHIVERD_TEST_UNSET}
  - {name: c, server: a, username: a, password_command: [sh, -c, 'exit 1']}
  - {name: d, server: a, username: a, password_command: [/nonexistent/d]}
  - {name: e, server: a, username: a, password: hunter2}
`))
	if err != nil {
		t.Fatal(err)
	}
	got := faults(t, c.CheckSecrets(t.Context()))
	if want := []string{"3 accounts[0].password_file", "4 accounts[1].password_env", "6 accounts[3].password_command"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	c.Accounts = c.Accounts[4:]
	if err := c.CheckSecrets(t.Context()); err != nil {
		t.Error(err)
	}
}
