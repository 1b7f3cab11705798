package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
)

// benchTB implements those methods of testing.TB that package dovecot calls.
type benchTB struct {
	testing.TB // nil: the other methods panic

	context  func() context.Context // ends when the program is interrupted
	cleanups []func()
	err      error // of Errorf and Fatalf
}

// run calls fn and then the cleanups, the last first. It returns the errors of fn and of
// Errorf; Fatalf ends fn.
func (t *benchTB) run(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		defer close(done) // without a value if Fatalf ended fn
		done <- fn()
	}()
	err := <-done
	for _, clean := range slices.Backward(t.cleanups) {
		clean()
	}
	return errors.Join(err, t.err)
}

// The methods of testing.TB.

func (t *benchTB) Helper()                  {}
func (t *benchTB) Context() context.Context { return t.context() }
func (t *benchTB) Cleanup(fn func())        { t.cleanups = append(t.cleanups, fn) }
func (t *benchTB) Failed() bool             { return t.err != nil }

func (t *benchTB) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (t *benchTB) Errorf(format string, args ...any) {
	t.err = errors.Join(t.err, fmt.Errorf(format, args...))
}

func (t *benchTB) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit() // as testing.T does
}

func (t *benchTB) Fatal(args ...any) { t.Fatalf("%s", fmt.Sprint(args...)) }
func (t *benchTB) Skip(args ...any)  { t.Fatal(args...) }
