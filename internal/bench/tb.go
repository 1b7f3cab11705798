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

// tb is as much of a test as package dovecot needs of one. An error ends run.
type tb struct {
	testing.TB // nil: what follows is all there is

	ctx      context.Context
	cleanups []func()
	err      error
}

// run calls fn, then what Cleanup was given. The error is fn's, and Fatal's.
func (t *tb) run(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		defer close(done) // without a value: Fatal
		done <- fn()
	}()
	err := <-done
	for _, clean := range slices.Backward(t.cleanups) {
		clean()
	}
	return errors.Join(err, t.err)
}

// The methods of testing.TB.

func (t *tb) Helper()                  {}
func (t *tb) Context() context.Context { return t.ctx }
func (t *tb) Cleanup(fn func())        { t.cleanups = append(t.cleanups, fn) }
func (t *tb) Failed() bool             { return t.err != nil }

func (t *tb) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (t *tb) Errorf(format string, args ...any) {
	t.err = errors.Join(t.err, fmt.Errorf(format, args...))
}

func (t *tb) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit() // as a test does
}

func (t *tb) Fatal(args ...any) { t.Fatalf("%s", fmt.Sprint(args...)) }
func (t *tb) Skip(args ...any)  { t.Fatal(args...) }
