package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"archiverd/internal/safetext"
)

// terminal returns standard input where a person can be asked there. Where it is
// no terminal, that is a usage error, which names --yes.
func (a *app) terminal() (*os.File, error) {
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, usage(errors.New("nobody can be asked, standard input is no terminal: add --yes to do it without a question"))
	}
	return f, nil
}

// confirm asks a person on the terminal a question that "y" or "yes" answers
// with yes, anything else with no.
func (a *app) confirm(question string) (bool, error) {
	f, err := a.terminal()
	if err != nil {
		return false, err
	}
	fmt.Fprintf(a.err, "%s [y/N] ", safetext.Text(question))
	answer, err := bufio.NewReader(f).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	if err != nil {
		fmt.Fprintln(a.err) // the end of input leaves the cursor behind the question
		return false, nil
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}
