package wire

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"archiverd/internal/testing/hostile"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-sasl"
)

// greet returns a greeting of text. The session continues if then is nil, and ends with
// then otherwise.
func greet(text string, then func(*hostile.Session)) func(*hostile.Session) bool {
	return func(s *hostile.Session) bool {
		s.Send(text)
		if then != nil {
			then(s)
		}
		return then == nil
	}
}

// answerStartTLS returns a script that answers STARTTLS with text, in which TAG stands
// for the tag, and continues with then if that is not nil.
func answerStartTLS(text string, then func(*hostile.Session)) func(*hostile.Session, hostile.Command) bool {
	return func(s *hostile.Session, cmd hostile.Command) bool {
		if cmd.Name != "STARTTLS" {
			return false
		}
		s.Send(strings.ReplaceAll(text, "TAG", cmd.Tag))
		if then != nil {
			then(s)
		}
		return true
	}
}

// drip sends the start of a greeting an octet at a time.
func drip(s *hostile.Session) { s.Drip("* OK hello", 20*time.Millisecond) }

// dialCase is a server whose greeting, TLS or STARTTLS fails.
type dialCase struct {
	name     string
	security Security
	server   hostile.Options
	trust    func(*tls.Config) // changes what the client accepts, if not nil
	class    Class             // of the error
}

var dialCases = []dialCase{
	{"greeting never", Plaintext, hostile.Options{Greet: greet("", (*hostile.Session).Stall)}, nil, ClassTransient},
	{"greeting in drips", Plaintext, hostile.Options{Greet: greet("", drip)}, nil, ClassTransient},
	{"greeting empty", Plaintext, hostile.Options{Greet: greet("\r\n", (*hostile.Session).Stall)}, nil, ClassProtocol},
	{"greeting endless", Plaintext, hostile.Options{Greet: greet("* OK ", func(s *hostile.Session) { s.Flood("x") })}, nil, ClassProtocol},
	{"hung up", Plaintext, hostile.Options{Greet: greet("", (*hostile.Session).HangUp)}, nil, ClassTransient},
	{"BYE", Plaintext, hostile.Options{Greet: greet("* BYE come back later\r\n", (*hostile.Session).HangUp)}, nil, ClassBusy},
	{"BYE, throttled", TLS, hostile.Options{TLS: true, Greet: greet("* BYE Too many simultaneous connections\r\n", (*hostile.Session).HangUp)}, nil, ClassThrottled},
	{"NO", Plaintext, hostile.Options{Greet: greet("* NO x\r\n", (*hostile.Session).Stall)}, nil, ClassBusy},
	{"HTTP", Plaintext, hostile.Options{Greet: greet("HTTP/1.1 400 Bad Request\r\n\r\n", nil)}, nil, ClassProtocol},
	{"no capabilities", Plaintext, hostile.Options{Greet: greet("* OK hi\r\n", nil), Script: answer("CAPABILITY", "TAG OK x\r\n")}, nil, ClassProtocol},
	{"capabilities refused", Plaintext, hostile.Options{Greet: greet("* OK hi\r\n", nil), Script: answer("CAPABILITY", "TAG BAD x\r\n")}, nil, ClassProtocol},
	{"plaintext for TLS", TLS, hostile.Options{}, nil, ClassTLS},
	{"handshake never", TLS, hostile.Options{Greet: greet("", (*hostile.Session).Stall)}, nil, ClassTransient},
	{"untrusted", TLS, hostile.Options{TLS: true}, func(c *tls.Config) { c.RootCAs = nil }, ClassTLS},
	{"wrong name", TLS, hostile.Options{TLS: true}, func(c *tls.Config) { c.ServerName = "example.org" }, ClassTLS},
	{"pin", TLS, hostile.Options{TLS: true}, func(c *tls.Config) {
		c.VerifyConnection = func(tls.ConnectionState) error { return errors.New("wrong fingerprint") }
	}, ClassTLS},
	{"STARTTLS stripped", StartTLS, hostile.Options{}, nil, ClassTLS},
	{"STARTTLS refused", StartTLS, hostile.Options{StartTLS: true, Script: answerStartTLS("TAG NO x\r\n", nil)}, nil, ClassTLS},
	{"STARTTLS with PREAUTH", StartTLS, hostile.Options{StartTLS: true, Greet: greet("* PREAUTH welcome\r\n", nil)}, nil, ClassTLS},
	{"STARTTLS injected", StartTLS, hostile.Options{StartTLS: true, Script: answerStartTLS("TAG OK x\r\n* OK [CAPABILITY IMAP4rev1] x\r\n", (*hostile.Session).Stall)}, nil, ClassTLS},
	{"STARTTLS stalled before", StartTLS, hostile.Options{StartTLS: true, Script: answerStartTLS("", (*hostile.Session).Stall)}, nil, ClassTransient},
	{"STARTTLS stalled behind", StartTLS, hostile.Options{StartTLS: true, Script: answerStartTLS("TAG OK x\r\n", (*hostile.Session).Stall)}, nil, ClassTransient},
	{"STARTTLS hung up", StartTLS, hostile.Options{StartTLS: true, Script: answerStartTLS("TAG OK x\r\n", (*hostile.Session).HangUp)}, nil, ClassTransient},
	{"STARTTLS drips", StartTLS, hostile.Options{StartTLS: true, Script: answerStartTLS("", drip)}, nil, ClassTransient},
}

// Dial fails in bounded time and with the right class, whatever is wrong between the
// first octet and the capabilities.
func TestDialHostileServers(t *testing.T) {
	for _, c := range dialCases {
		t.Run(c.name, withFakeClock(func(t *testing.T) {
			s := serveInMemory(t, c.server)
			o := shortOptions(s)
			o.Security = c.security
			if c.trust != nil {
				c.trust(o.TLS)
			}
			start := time.Now()
			conn, err := Dial(t.Context(), o)
			if err == nil {
				conn.Close()
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
			if err == nil || Classify(err) != c.class {
				t.Errorf("error %v is %v, want %v", err, Classify(err), c.class)
			}
		}))
	}
}

// Capabilities and alerts that the server sends before STARTTLS are discarded.
func TestStartTLSDiscardsPlaintextState(t *testing.T) {
	s := serve(t, hostile.Options{StartTLS: true, Mailboxes: inbox(), Greet: func(s *hostile.Session) bool {
		s.Send("* OK [CAPABILITY IMAP4rev1 EVIL STARTTLS] x\r\n* OK [ALERT] send me your money\r\n")
		return true
	}})
	o := options(s)
	o.Security = StartTLS
	c := connect(t, s, o)
	if c.HasCapability("EVIL") || !c.HasCapability("AUTH=PLAIN") || len(c.Alerts()) != 0 {
		t.Errorf("EVIL = %v, alerts %q", c.HasCapability("EVIL"), c.Alerts())
	}
}

// A refused connection is transient, a cancelled one has the cause of its context, and
// TLS without a configuration is an error of TLS.
func TestDialUnreachable(t *testing.T) {
	checkGoroutines(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := Dial(t.Context(), Options{Address: l.Addr().String(), Security: Plaintext}); Classify(err) != ClassTransient {
		t.Errorf("error %v", err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := Dial(ctx, Options{Address: l.Addr().String(), Security: Plaintext}); Classify(err) != ClassCanceled || !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
	if _, err := Dial(t.Context(), Options{Address: l.Addr().String()}); Classify(err) != ClassTLS {
		t.Errorf("without a TLS configuration: %v", err)
	}
}

// A cancelled context ends Dial and Login in each of their steps, with its cause.
func TestCancelWhileConnecting(t *testing.T) {
	cause := errors.New("enough")
	for _, c := range []struct {
		name     string
		security Security
		stallAt  string // a command; "" for the greeting
	}{
		{"greeting", Plaintext, ""}, {"handshake", TLS, ""}, {"STARTTLS", StartTLS, "STARTTLS"},
		{"capabilities", Plaintext, "CAPABILITY"}, {"login", Plaintext, "LOGIN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			s := serve(t, hostile.Options{
				Capabilities: "IMAP4rev1",
				Greet: func(s *hostile.Session) bool {
					if c.stallAt == "" {
						cancel(cause)
						s.Stall()
					}
					s.Send("* OK hi\r\n")
					return true
				},
				Script: func(s *hostile.Session, cmd hostile.Command) bool {
					if cmd.Name == c.stallAt {
						cancel(cause)
						s.Stall()
					}
					return false
				},
			})
			o := options(s)
			o.Security, o.Timeouts = c.security, Timeouts{}
			conn, err := Dial(ctx, o)
			if err == nil {
				defer conn.Close()
				err = conn.Login(ctx, Auth{Username: "alice", Password: []byte("secret")})
			}
			if Classify(err) != ClassCanceled || !errors.Is(err, cause) {
				t.Errorf("error %v is %v", err, Classify(err))
			}
		})
	}
}

// loginPassword must be quoted in LOGIN. encodedLogin is what AUTHENTICATE PLAIN sends.
const loginPassword = `s3"cret`

var encodedLogin = base64.StdEncoding.EncodeToString([]byte("\x00alice\x00" + loginPassword))

// loginCase is a login that fails.
type loginCase struct {
	name, capabilities string
	reply              string // to the login; the server says nothing more if it has no TAG
	auth               Auth   // Username and Password are set by the test
	class              Class
	want               string // in the error
}

var loginCases = []loginCase{
	{"wrong password", "IMAP4rev1", "TAG NO [AUTHENTICATIONFAILED] no\r\n", Auth{}, ClassLogin, "[AUTHENTICATIONFAILED] no"},
	{"no code", "IMAP4rev1 AUTH=PLAIN", "TAG NO x\r\n", Auth{}, ClassLogin, "NO x"},
	{"BAD", "IMAP4rev1", "TAG BAD x\r\n", Auth{}, ClassLogin, "BAD x"},
	{"unavailable", "IMAP4rev1", "TAG NO [UNAVAILABLE] x\r\n", Auth{}, ClassBusy, "UNAVAILABLE"},
	{"over quota", "IMAP4rev1", "TAG NO [OVERQUOTA] x\r\n", Auth{}, ClassThrottled, "OVERQUOTA"},
	{"throttled", "IMAP4rev1", "TAG NO [THROTTLED] x\r\n", Auth{}, ClassThrottled, "THROTTLED"},
	{"limit", "IMAP4rev1", "TAG NO [LIMIT] x\r\n", Auth{}, ClassBusy, "LIMIT"},
	{"in use", "IMAP4rev1 AUTH=PLAIN", "TAG NO [INUSE] x\r\n", Auth{}, ClassBusy, "INUSE"},
	{"Gmail's connections", "IMAP4rev1", "TAG NO [ALERT] Too many simultaneous connections. (Failure)\r\n", Auth{}, ClassThrottled, "Too many"},
	{"Gmail's bandwidth", "IMAP4rev1", "TAG NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)\r\n", Auth{}, ClassThrottled, "bandwidth"},
	{"Dovecot's connections", "IMAP4rev1", "TAG NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)\r\n", Auth{}, ClassThrottled, "Maximum"},
	{"Yahoo's commands", "IMAP4rev1", "TAG NO [LIMIT] AUTHENTICATE Rate limit hit.\r\n", Auth{}, ClassThrottled, "Rate limit"},
	{"Exchange's BYE", "IMAP4rev1", "* BYE Request is throttled. Suggested Backoff Time: 89117 milliseconds\r\n", Auth{}, ClassThrottled, "89117"},
	{"alert", "IMAP4rev1", "* NO [ALERT] pay\x1b[2J up\r\nTAG NO [AUTHENTICATIONFAILED] no\r\n", Auth{}, ClassLogin, `alert: pay\x1b[2J up`},
	{"echo", "IMAP4rev1", "TAG NO user alice password " + loginPassword + " or LOGIN \"alice\" \"s3\\\"cret\"\r\n", Auth{}, ClassLogin, "password ***"},
	{"base64 echo", "IMAP4rev1 AUTH=PLAIN SASL-IR", "TAG BAD " + encodedLogin + "\r\n", Auth{}, ClassLogin, "***"},
	{"echo in an alert and a BYE", "IMAP4rev1", "* OK [ALERT] " + loginPassword + "\r\n* BYE " + encodedLogin + "\r\n", Auth{}, ClassBusy, "BYE ***"},
	{"echo out of place", "IMAP4rev1", loginPassword + " OK x\r\nTAG OK x\r\n", Auth{}, ClassProtocol, "***"},
	{"echo as a tag", "IMAP4rev1", "T" + loginPassword + " OK x\r\nTAG OK x\r\n", Auth{}, ClassProtocol, "***"},
	{"long text", "IMAP4rev1", "TAG NO " + strings.Repeat("ü", 1000) + "\r\n", Auth{}, ClassLogin, "…"},
	{"LOGINDISABLED", "IMAP4rev1 LOGINDISABLED AUTH=PLAIN", "", Auth{}, ClassLogin, "LOGINDISABLED"},
	{"LOGINDISABLED, login", "IMAP4rev1 LOGINDISABLED AUTH=PLAIN", "", Auth{Mechanism: "login"}, ClassLogin, "LOGINDISABLED"},
	{"unknown mechanism", "IMAP4rev1", "", Auth{Mechanism: "magic"}, ClassLogin, "magic"},
	{"challenge without end", "IMAP4rev1 AUTH=PLAIN SASL-IR", "+ \r\n", Auth{}, ClassProtocol, "broken off"},
	{"no base64", "IMAP4rev1 AUTH=PLAIN", "+ ((((\r\n", Auth{}, ClassProtocol, "broken off"},
	{"SASL client gives up", "IMAP4rev1", "+ eA==\r\n", Auth{SASL: func() sasl.Client { return sasl.NewPlainClient("", "a", loginPassword) }}, ClassProtocol, "broken off"},
	{"silence", "IMAP4rev1", "* OK wait\r\n", Auth{}, ClassTransient, "silent"},
}

// A refused login has the right class and the server's text, with the time that a
// throttling server states. No error and no alert shows the password in any form in
// which it is sent, or text that is unsafe for a terminal.
func TestLoginRefused(t *testing.T) {
	for _, c := range loginCases {
		t.Run(c.name, withFakeClock(func(t *testing.T) {
			s := serveInMemory(t, hostile.Options{Capabilities: c.capabilities, Script: func(s *hostile.Session, cmd hostile.Command) bool {
				if cmd.Name == "LOGIN" || cmd.Name == "AUTHENTICATE" {
					s.Send(strings.ReplaceAll(c.reply, "TAG", cmd.Tag))
					if !strings.Contains(c.reply, "TAG") {
						s.Stall()
					}
					return true
				}
				return false
			}})
			conn, err := Dial(t.Context(), shortOptions(s))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c.auth.Username, c.auth.Password = "alice", []byte(loginPassword)
			err = conn.Login(t.Context(), c.auth)
			if err == nil || Classify(err) != c.class || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v is %v, want %v", err, Classify(err), c.class)
			}
			if got, stated := RetryAfter(err), strings.Contains(c.reply, "89117"); stated && got != 89117*time.Millisecond || !stated && got != 0 {
				t.Errorf("RetryAfter = %v", got)
			}
			all := fmt.Sprintf("%v %+v %#v %q", err, err, err, conn.Alerts())
			for _, secret := range []string{loginPassword, `s3\"cret`, encodedLogin} {
				if strings.Contains(all, secret) {
					t.Errorf("the error shows %q: %s", secret, all)
				}
			}
			if len(err.Error()) > 700 || strings.ContainsAny(err.Error(), "\x1b\r\n") {
				t.Errorf("error text: %q", err)
			}
			var refusal *imap.Error
			if strings.HasPrefix(c.reply, "TAG NO") && !errors.As(err, &refusal) {
				t.Errorf("no *imap.Error in %v", err)
			}
			if strings.HasPrefix(c.name, "LOGINDISABLED") && len(s.Commands()) > 0 {
				t.Errorf("sent %q", s.Commands())
			}
		}))
	}
}

// A server that greets with PREAUTH gets no password.
func TestPreauth(t *testing.T) {
	s := serve(t, hostile.Options{TLS: true, Mailboxes: inbox("one"), Greet: func(s *hostile.Session) bool {
		s.Send("* PREAUTH hello\r\n")
		return true
	}})
	o := options(s)
	o.Security = TLS
	c := connect(t, s, o)
	if got, err := fetchBodies(t.Context(), c, uidRange(1, 1)); err != nil || got[1] != "one" {
		t.Errorf("FetchBodies = %v, %v", got, err)
	}
	if sent := strings.Join(s.Commands(), "\n"); strings.Contains(sent, "LOGIN") || strings.Contains(sent, "AUTHENTICATE") {
		t.Errorf("sent %q", sent)
	}
}

// Logout ends in bounded time, whatever the server answers. It succeeds once the server
// has said BYE.
func TestLogoutIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, reply := range []string{"", "* BYE", "* BYE x\r\n", "* BYE x\r\nTAG OK x\r\n"} {
			s := serveInMemory(t, hostile.Options{Mailboxes: inbox(), Script: func(s *hostile.Session, cmd hostile.Command) bool {
				if cmd.Name != "LOGOUT" {
					return false
				}
				s.Send(strings.ReplaceAll(reply, "TAG", cmd.Tag))
				s.Stall()
				return true
			}})
			c := connect(t, s, shortOptions(s))
			start := time.Now()
			err := c.Logout(t.Context())
			if took := time.Since(start); took > 2*time.Second || (err == nil) != strings.Contains(reply, "x") {
				t.Errorf("%q: %v after %v", reply, err, took)
			}
		}
	})
}

// statedBackoff reads the time that Exchange states, in any unit, up to one day.
func TestStatedBackoff(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"Request is throttled. Suggested Backoff Time: 299950 milliseconds": 299950 * time.Millisecond,
		"Request is throttled. Suggested Backoff Time: 299961 milliseconds": 299961 * time.Millisecond,
		"throttled; suggested back-off time 1200ms, then again":             1200 * time.Millisecond,
		"suggested backoff time: 5 seconds":                                 5 * time.Second,
		"suggested backoff time: 5 minutes":                                 5 * time.Minute,
		"Suggested Backoff Time: 99999999999999999 milliseconds":            24 * time.Hour,
		"Suggested Backoff Time: 99999999999999999999999999999 s":           24 * time.Hour,
		"Suggested Backoff Time: 86400001 milliseconds":                     24 * time.Hour,
		"Suggested Backoff Time: -5":                                        0, "Suggested Backoff Time:": 0, "Suggested Backoff Time: x": 0, "later": 0,
	} {
		if got := statedBackoff(text); got != want {
			t.Errorf("statedBackoff(%q) = %v, want %v", text, got, want)
		}
	}
}
