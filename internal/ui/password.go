package ui

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

// AskPassword asks on out for a secret, and reads it from the terminal in without
// showing it. On SIGINT and SIGTERM it restores the terminal and ends the program with
// exit status 1.
func AskPassword(in io.Reader, out io.Writer, prompt string) ([]byte, error) {
	f := Terminal(in)
	if f == nil {
		return nil, ErrNoTerminal
	}
	before, err := term.GetState(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("ask for the password: %w", err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	answered := make(chan struct{})
	defer func() { signal.Stop(signals); close(answered) }()
	go func() {
		select {
		case <-signals:
			// Without this the user's shell would not show what is typed. An error can't
			// be handled here: the program ends.
			_ = term.Restore(int(f.Fd()), before)
			os.Exit(1)
		case <-answered:
		}
	}()
	fmt.Fprint(out, prompt)
	secret, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(out)
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	return secret, nil
}
