package ui

import (
	"fmt"
	"strings"
	"time"

	"archiverd/internal/safetext"
)

// Outcome is the first word of a verdict: FAILED if the job ended with an error, else
// INCOMPLETE if it is not ok, else complete.
func Outcome(problem string, ok bool) string {
	switch {
	case problem != "":
		return "FAILED"
	case !ok:
		return "INCOMPLETE"
	}
	return "complete"
}

// Verdict is a job's result on one line: "FAILED: disk full; 3 messages in 2s". The
// problem is the text of an error, perhaps of several that were joined. Empty parts are
// left out.
func Verdict(outcome, problem string, details ...string) string {
	var parts []string
	for _, part := range append([]string{JoinedErrors(problem)}, details...) {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return outcome
	}
	return outcome + ": " + strings.Join(parts, "; ")
}

// JoinedErrors makes one safe line of the text of an error, with semicolons between the
// errors that errors.Join joined.
func JoinedErrors(text string) string {
	return safetext.Line(strings.ReplaceAll(text, "\n", "; "))
}

// Speed is ", 1.2 MiB/s" for octets that were moved in this time, and empty if there
// were none.
func Speed(octets int64, elapsed time.Duration) string {
	seconds := elapsed.Seconds()
	if octets <= 0 || seconds <= 0 {
		return ""
	}
	return fmt.Sprintf(", %s/s", Octets(int64(float64(octets)/seconds)))
}
