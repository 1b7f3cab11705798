package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestLicensesAreComplete: version --licenses has the licence of every module that is linked.
func TestLicensesAreComplete(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(modules) < 20 {
		t.Fatalf("only %d modules", len(modules))
	}
	text := newSite(t).run("version", "--licenses").want(0).out
	for _, m := range append(modules, "the Go standard library") {
		if !strings.Contains(text, "\n  "+m+" (LICENSE") {
			t.Errorf("no licence of %s: run scripts/licenses", m)
		}
	}
}
