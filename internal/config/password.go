package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// maxSecret is how many octets the source of a password may have.
const maxSecret = 64 << 10

// Password reads the account's password from its source: the first line of what is there,
// without its line end. Each call reads anew, so a changed password needs no restart. The
// caller wipes the Secret. An error names the account, the source and what to do.
//
// A password command has no input, no terminal and no other account's secrets (see
// commandEnvironment). It may run for a minute, or until ctx ends. Then it is killed, but
// not its background processes.
func (a *Account) Password(ctx context.Context) (Secret, error) {
	line, err := a.readPassword(ctx)
	if err != nil {
		return Secret{}, fmt.Errorf("account %s: %s: %w", printable(a.Name), a.source(), err)
	}
	return newSecret(line), nil
}

// SetPassword gives the password of an account made by Single without a password file. It
// keeps a copy. It must not run beside Password.
func (a *Account) SetPassword(password []byte) {
	a.password.Wipe()
	a.password = newSecret(bytes.Clone(password))
}

// CheckSecrets reads every account's password and returns what fails, as *Faults. A
// password command is only looked up, not run: it may prompt.
func (c *Config) CheckSecrets(ctx context.Context) error {
	r := c.report()
	for i := range c.Accounts {
		a := &c.Accounts[i]
		var err error
		if len(a.PasswordCommand) > 0 {
			if _, err = exec.LookPath(a.PasswordCommand[0]); err == nil {
				err = checkCommand(a.PasswordCommand)
			}
		} else if !a.passwordPrompted {
			var line []byte
			line, err = a.readPassword(ctx)
			clear(line)
		}
		if err != nil {
			r.at(accountKey(i, a.source()), "%v", err)
		}
	}
	return r.err()
}

// readPassword reads the first line of the account's source.
func (a *Account) readPassword(ctx context.Context) ([]byte, error) {
	switch a.source() {
	case "password_file":
		return readSecretFile(a.PasswordFile)
	case "password_command":
		if err := checkCommand(a.PasswordCommand); err != nil {
			return nil, err
		}
		return runCommand(ctx, a.PasswordCommand, commandEnvironment(os.Environ(), a.withheld))
	case "password_env":
		value, ok := os.LookupEnv(a.PasswordEnv)
		if !ok {
			return nil, fmt.Errorf("the environment has no variable %s: set it where archiverd is started", printable(a.PasswordEnv))
		}
		return firstLine([]byte(value))
	case "password_credential":
		return readCredential(a.PasswordCredential)
	}
	if a.password.empty() {
		return nil, errors.New("no password was given: type one when asked for it")
	}
	return firstLine(a.password.Bytes())
}

// firstLine returns a copy of the first line without its line end.
func firstLine(data []byte) ([]byte, error) {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return nil, errors.New("the password is empty: it is the first line, and that has nothing in it")
	}
	// RFC 4616 2: PLAIN cannot carry a NUL; a quoted string neither NUL nor CR.
	if bytes.ContainsAny(line, "\x00\r") {
		return nil, errors.New("the password has a NUL or CR, which no login can send")
	}
	return bytes.Clone(line), nil
}

// readSecretFile reads the first line of a file that only its owner may read.
func readSecretFile(path string) ([]byte, error) {
	data, info, err := readRegular(path, maxSecret)
	defer clear(data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: create it with the password as its first line, and chmod 600", err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: chown it to the user that runs archiverd", err)
	case err != nil:
		return nil, err
	}
	// Check the open file, so that it can't be replaced after the check.
	if err := checkSecretFile(path, info); err != nil {
		return nil, err
	}
	return firstLine(data)
}

// checkSecretFile returns an error when a file is no regular one, or when others than its
// owner can reach it.
func checkSecretFile(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", printable(path))
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && !inCredentials(path) {
		return fmt.Errorf("others can read this password (mode %04o): chmod 600 %s", mode, printable(path))
	}
	return nil
}

// inCredentials reports whether a path is in the directory that systemd made for this
// service's credentials. Only this service reaches it, whatever the modes in it say: what
// they show as the group is the mask of an access list.
func inCredentials(path string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if !filepath.IsAbs(dir) || !filepath.IsAbs(path) {
		return false
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel) && rel != "."
}

// readCredential reads a credential of systemd: NAME, as LoadCredential=NAME:… makes it, or
// account_NAME, as LoadCredential=account:DIRECTORY makes it of the directory's file NAME.
func readCredential(name string) ([]byte, error) {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return nil, errors.New("CREDENTIALS_DIRECTORY is not set: archiverd must run as a systemd unit with LoadCredentialEncrypted=account:/etc/archiverd/credentials")
	}
	data, _, err := readRegular(filepath.Join(dir, name), maxSecret)
	if errors.Is(err, fs.ErrNotExist) {
		data, _, err = readRegular(filepath.Join(dir, "account_"+name), maxSecret)
	}
	defer clear(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no credential %s or account_%s: systemd-creds encrypt --name=account_%s - /etc/archiverd/credentials/%s, then restart", name, name, name, name)
	}
	if err != nil {
		return nil, err
	}
	return firstLine(data)
}
