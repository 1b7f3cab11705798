package ui

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"archiverd/internal/safetext"
)

// ErrNoTerminal is returned when a person is to be asked and standard input is not a
// terminal.
var ErrNoTerminal = errors.New("standard input is not a terminal")

// Confirm asks a question on out and reads the answer from the terminal in. Only "y" and
// "yes" mean yes.
func Confirm(in io.Reader, out io.Writer, question string) (bool, error) {
	f := Terminal(in)
	if f == nil {
		return false, ErrNoTerminal
	}
	fmt.Fprintf(out, "%s [y/N] ", safetext.Text(question))
	answer, err := bufio.NewReader(f).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	if err != nil {
		fmt.Fprintln(out) // after Ctrl-D the cursor is still behind the question
		return false, nil
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}
