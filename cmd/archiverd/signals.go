package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// interruptible returns a context that the first SIGINT or SIGTERM cancels. It then says
// on errOut that the command is stopping, and what is still being done. A second signal
// ends the program at once. The caller calls the returned function when the work is done.
func interruptible(ctx context.Context, errOut io.Writer, stillDoing string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-signals:
				if n > 0 {
					os.Exit(exitFailed)
				}
				cancel() // before the message: writing it blocks if nobody reads standard error
				fmt.Fprintln(errOut, "archiverd: stopping; "+stillDoing+". Again to stop at once.")
			case <-done:
				return
			}
		}
	}()
	return ctx, func() { signal.Stop(signals); close(done); cancel() }
}
