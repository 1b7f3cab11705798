package process

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Program says where a server may be installed.
type Program struct {
	Name     string   // in messages: "Dovecot"
	Paths    []string // of the program, the first that exists counts; a bare name is searched in PATH
	Required string   // environment variable; "1" makes a test fail where it would be skipped
	Install  string   // command that installs it
}

// Find returns the path of the program. Without one, or with -short, it skips the
// test. If p.Required is set to 1, -short changes nothing and a missing program
// fails the test.
func (p Program) Find(t testing.TB) string {
	t.Helper()
	required := os.Getenv(p.Required) == "1"
	if testing.Short() && !required {
		t.Skipf("-short: no %s", p.Name)
	}
	for _, path := range p.Paths {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	text := fmt.Sprintf("no %s at any of %q; on Debian and Ubuntu: %s", p.Name, p.Paths, p.Install)
	if required {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}
