package wire

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
)

// Class says what kind of failure an error is, and so what the caller can do about it.
type Class int

// The classes of errors.
const (
	ClassUnknown   Class = iota // not of this package: the caller's own
	ClassTransient              // the connection broke or went silent: connect again
	ClassBusy                   // the server asks to come back later
	ClassThrottled              // the server limits speed or connections: come back much later, see RetryAfter
	ClassLogin                  // the server refuses the login: do not try again soon
	ClassTLS                    // no trusted connection
	ClassMailbox                // this mailbox is refused, the others are not
	ClassMessage                // this message is refused, the others are not
	ClassProtocol               // the server's reply makes no sense or exceeds a limit
	ClassCanceled               // the context or Close ended it
)

var classNames = [...]string{"unknown", "transient", "busy", "throttled", "login", "TLS", "mailbox", "message", "protocol", "canceled"}

func (c Class) String() string {
	if c < 0 || int(c) >= len(classNames) {
		return "class " + strconv.Itoa(int(c))
	}
	return classNames[c]
}

var (
	// ErrNoBody is returned when the server sent NIL for the body of a message.
	ErrNoBody = errors.New("server sent NIL for the body")
	// ErrNotSent is returned when the server said OK and left the message out.
	ErrNotSent = errors.New("server said OK but did not send the message")
	// ErrTooSlow is returned when a line or literal came below the minimum rate.
	ErrTooSlow = errors.New("server sends too slowly")
	// ErrLimit is returned when a reply exceeds a limit.
	ErrLimit = errors.New("reply exceeds the limit")
)

// Error is the failure of a command or of the connection.
type Error struct {
	Class   Class
	Retry   time.Duration // how long the server asks not to connect; 0: it did not say
	Command string        // the command that failed, "" before the first
	Code    string        // the server's response code, upper case, "" for none (RFC 9051 7.1)
	Text    string        // what the server said when it refused or closed the connection, safe to print
	Alert   string        // the last ALERT of the connection, safe to print
	Err     error         // the cause; an *imap.Error when the server refused
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Command != "" {
		b.WriteString(e.Command + ": ")
	}
	b.WriteString(e.cause())
	if e.Alert != "" && !strings.Contains(e.Text, e.Alert) {
		b.WriteString("; server's alert: " + e.Alert)
	}
	return b.String()
}

func (e *Error) cause() string {
	var refusal *imap.Error
	if !errors.As(e.Err, &refusal) {
		if e.Text != "" {
			return e.Err.Error() + "; server said BYE " + e.Text
		}
		return e.Err.Error()
	}
	text := "server says " + string(refusal.Type)
	if e.Code != "" {
		text += " [" + e.Code + "]"
	}
	if e.Text != "" {
		text += " " + e.Text
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Classify returns the class of an error of this package, ClassUnknown for any other.
func Classify(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return ClassUnknown
}

// RetryAfter returns how long the server asked not to connect, 0 if it did not ask.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.Retry
	}
	return 0
}

// classifyStatus classifies a server's refusal by its text, then by its code (RFC 5530,
// RFC 9738); if neither tells, it is fallback. The texts are those of Exchange, Gmail,
// Dovecot and Yahoo.
func classifyStatus(s status, command string, fallback Class) Class {
	text := strings.ToLower(s.text)
	for _, word := range []string{
		"throttled", "suggested backoff time", "bandwidth limit", "too many simultaneous connections",
		"too many connections", "too many concurrent", "maximum number of connections", "rate limit",
	} {
		if strings.Contains(text, word) {
			return ClassThrottled
		}
	}
	if strings.HasPrefix(text, "server unavailable") { // Exchange, of any command
		return ClassBusy
	}
	switch s.code {
	case "THROTTLED":
		return ClassThrottled
	case "OVERQUOTA":
		switch command {
		case cmdLogin:
			return ClassThrottled
		case cmdAppend:
			return ClassMailbox
		}
	case "UNAVAILABLE", "INUSE", "SERVERBUG", "LIMIT", "MESSAGELIMIT":
		return ClassBusy
	case "AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED", "CONTACTADMIN":
		return ClassLogin
	case "NONEXISTENT", "TRYCREATE", "NOPERM", "ACL":
		if command != cmdLogin {
			return ClassMailbox
		}
	case "PARSE", "UNKNOWN-CTE", "CORRUPTION":
		return ClassMessage
	}
	return fallback
}

// statedBackoff reads "Suggested Backoff Time: 299950 milliseconds" (Exchange): at most
// a day, 0 if text has none.
func statedBackoff(text string) time.Duration {
	m := regexp.MustCompile(`(?i)suggested back-?off time:? *([0-9]+) *([a-z]*)`).FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	unit := time.Millisecond
	switch name := strings.ToLower(m[2]); {
	case strings.HasPrefix(name, "s"):
		unit = time.Second
	case strings.HasPrefix(name, "min"):
		unit = time.Minute
	}
	const maxBackoff = 24 * time.Hour
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > int64(maxBackoff/unit) { // more than a day, or more digits than an int64 holds
		return maxBackoff
	}
	return time.Duration(n) * unit
}
