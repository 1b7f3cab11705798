package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// stopGrace is how long a command may go on after SIGTERM.
const stopGrace = 9 * time.Second

// interruptible returns a context that the first SIGINT or SIGTERM cancels. It then says
// on errOut that the command is stopping, and what is still being done. A second signal
// ends the program at once, and so does stopGrace after SIGTERM: whoever sends that does
// not wait. The caller calls the returned function when the work is done.
func interruptible(ctx context.Context, errOut io.Writer, stillDoing string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		var tooLate <-chan time.Time
		for n := 0; ; n++ {
			select {
			case sig := <-signals:
				if n > 0 {
					os.Exit(exitFailed)
				}
				if sig == syscall.SIGTERM {
					tooLate = time.After(stopGrace)
				}
				cancel() // before the message: writing it blocks if nobody reads standard error
				fmt.Fprintln(errOut, "archiverd: stopping; "+stillDoing+". Again to stop at once.")
			case <-tooLate:
				os.Exit(exitFailed) // nothing that is recorded is lost
			case <-done:
				return
			}
		}
	}()
	return ctx, func() { signal.Stop(signals); close(done); cancel() }
}
