package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A configuration that another user owns or can write to is refused before its text is
// looked at, and nothing that it names is run.
func TestConfigurationOfAnotherUser(t *testing.T) {
	dir := t.TempDir()
	path, ran := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "ran")
	text := fmt.Sprintf("archive: {path: a}\naccounts:\n  - {name: a, server: a, username: a, password_command: [touch, %s]}\n", ran)
	load := func(mode os.FileMode, uid int) error {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if uid != 0 {
			if err := os.Chown(path, uid, -1); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Load(path)
		return err
	}
	for _, mode := range []os.FileMode{0o600, 0o640, 0o644, 0o444} {
		if err := load(mode, 0); err != nil {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	text += "nonsense: [\n" // faults of the text are not told
	for _, mode := range []os.FileMode{0o620, 0o664, 0o602, 0o666} {
		if err := load(mode, 0); err == nil || !strings.Contains(err.Error(), "chmod go-w "+path) || strings.Contains(err.Error(), "nonsense") {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if os.Geteuid() == 0 {
		if err := load(0o600, 12345); err == nil || !strings.Contains(err.Error(), "belongs to user 12345") || !strings.Contains(err.Error(), "chown root") {
			t.Errorf("another's: %v", err)
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("the password command has run")
	}
}

// A program that others can change is not run as a password command.
func TestPasswordCommandOfAnotherUser(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho hunter2\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	a := Account{Name: "work", PasswordCommand: []string{program}}
	if s, err := a.Password(t.Context()); err != nil || string(s.Bytes()) != "hunter2" {
		t.Fatalf("got %v", err)
	}
	if err := os.Chmod(program, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Password(t.Context()); err == nil || !strings.Contains(err.Error(), "chmod go-w "+program) {
		t.Errorf("a program that everybody can write: %v", err)
	}
	_, err := Parse("c.yaml", fmt.Appendf(nil, "archive: {path: a}\naccounts:\n  - {name: a, server: a, username: a, password_command: [%s]}\n", program))
	if got := faults(t, err); !slices.Equal(got, []string{"3 accounts[0].password_command[0]"}) {
		t.Errorf("got %q", got)
	}
}

// An authority that others can replace is not trusted.
func TestCAFileOfAnotherUser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := readCAs(path); err == nil || !strings.Contains(err.Error(), "chmod go-w "+path) {
		t.Errorf("got %v", err)
	}
}

// A password command gets no terminal, no socket of the service manager and no other
// account's password.
func TestPasswordCommandIsAlone(t *testing.T) {
	for name, value := range map[string]string{
		"NOTIFY_SOCKET": "x", "CREDENTIALS_DIRECTORY": "x", "WATCHDOG_USEC": "1", "LISTEN_FDS": "1", "ARCHIVERD_CONFIG": "x", "GPG_TTY": "/dev/tty",
		"HOME_PASSWORD": "hunter2", "GNUPGHOME": "/kept",
	} {
		t.Setenv(name, value)
	}
	c, err := Parse("c.yaml", []byte(`archive: {path: a}
accounts:
  - {name: work, server: a, username: a, password_command: [sh, -c, 'env | cut -d= -f1 | tr "\n" " "']}
  - {name: home, server: a, username: a, password_env: HOME_PASSWORD}
  - {name: tty, server: a, username: a, password_command: [sh, -c, 'if (: </dev/tty) 2>/dev/null; then echo terminal; else cat; echo none; fi']}
  - {name: session, server: a, username: a, password_command: [sh, -c, 'cut -d" " -f6 /proc/self/stat; :']}
`))
	if err != nil {
		t.Fatal(err)
	}
	secret, err := c.Accounts[0].Password(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(secret.Bytes()))
	for _, name := range []string{"PATH", "GNUPGHOME"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is missing in %q", name, names)
		}
	}
	for _, name := range []string{"NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "WATCHDOG_USEC", "LISTEN_FDS", "ARCHIVERD_CONFIG", "GPG_TTY", "HOME_PASSWORD"} {
		if slices.Contains(names, name) {
			t.Errorf("%s is in the environment", name)
		}
	}
	if secret, err := c.Accounts[2].Password(t.Context()); err != nil || string(secret.Bytes()) != "none" {
		t.Errorf("the terminal: %q, %v", secret.Bytes(), err)
	}
	secret, err = c.Accounts[3].Password(t.Context())
	own, _ := os.ReadFile("/proc/self/stat") // only on Linux
	if fields := strings.Fields(string(own)); err != nil || len(fields) > 5 && string(secret.Bytes()) == fields[5] {
		t.Errorf("the command is in this process's session %q: %v", secret.Bytes(), err)
	}
}

// A password that begins with * or & is an alias or anchor for YAML. The fault does not
// show it.
func TestAliasIsNotShown(t *testing.T) {
	for _, value := range []string{"*hunter2", "*hunter'2", "&hunter2 *hunter2", "@hunter2", "%hunter2", "!hunter2 x", "`hunter2", "[hunter2", "'hunter2"} {
		_, err := Parse("c.yaml", []byte("archive: {path: a}\naccounts:\n  - name: a\n    server: a\n    username: a\n    password: "+value+"\n"))
		if err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v", value, err)
		}
	}
}

// What a failing command says is shown without the password, also where the shown part
// ends within it.
func TestPasswordIsRemovedBeforeTheCut(t *testing.T) {
	for n := maxShownError - 12; n <= maxShownError; n++ {
		a := Account{Name: "work", PasswordCommand: []string{"sh", "-c", fmt.Sprintf("echo hunter2hunter2; printf '%%%ds' HUNTER2HUNTER2 >&2; exit 1", n)}}
		if _, err := a.Password(t.Context()); err == nil || strings.Contains(err.Error(), "HUNT") {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}
