package wire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"archiverd/internal/uid"
)

// ErrNoUIDPlus is returned when the server has no UIDPLUS (RFC 4315): a plain EXPUNGE
// would also remove messages that other clients have marked.
var ErrNoUIDPlus = errors.New("server can't remove single messages (no UIDPLUS)")

// Store changes the flags of messages of the mailbox that is open (RFC 9051
// 6.4.6). op is "FLAGS" (replace), "+FLAGS" (add) or "-FLAGS" (remove); .SILENT is
// always added. A UID that is gone is no error. In a mailbox that is open for reading
// only, nothing is sent and the error says so.
func (c *Conn) Store(ctx context.Context, set uid.Set, op string, flags []string) error {
	cmd := command{name: cmdStore, answerWait: c.options.Timeouts.Answer, onNO: ClassMailbox, onBAD: ClassMailbox}
	if op != "FLAGS" && op != "+FLAGS" && op != "-FLAGS" {
		return c.annotate(cmd, &Error{Class: ClassMessage, Err: fmt.Errorf("%q is no change of flags", op)})
	}
	if err := checkFlags(flags); err != nil {
		return c.annotate(cmd, &Error{Class: ClassMessage, Err: err})
	}
	return c.storeParts(ctx, cmd, set, "UID STORE ", " "+op+".SILENT ("+strings.Join(flags, " ")+")")
}

// Expunge removes those messages of set that have \Deleted, permanently (UID EXPUNGE, RFC
// 4315 2.1). Without UIDPLUS it sends nothing and returns ErrNoUIDPlus. In a mailbox that
// is open for reading only, nothing is sent either.
func (c *Conn) Expunge(ctx context.Context, set uid.Set) error {
	cmd := command{name: cmdExpunge, answerWait: c.options.Timeouts.Answer, onNO: ClassMailbox, onBAD: ClassMailbox}
	if !c.HasCapability("UIDPLUS") {
		return c.annotate(cmd, &Error{Class: ClassMailbox, Err: ErrNoUIDPlus})
	}
	return c.storeParts(ctx, cmd, set, "UID EXPUNGE ", "")
}

// storeParts runs a command for the messages of a set, in parts of at most maxSetOctets.
func (c *Conn) storeParts(ctx context.Context, cmd command, set uid.Set, before, after string) error {
	if c.readOnly { // Dovecot would say OK and do nothing
		return c.annotate(cmd, &Error{Class: ClassMailbox, Err: errors.New("mailbox is open for reading only")})
	}
	for _, part := range splitSet(set) {
		cmd.maxReplies = part.Len()
		answer, err := c.run(ctx, cmd, before+part.String()+after, func(u untagged) (bool, error) {
			return u.is("FETCH") || u.is("EXPUNGE") || u.is("VANISHED"), nil
		})
		if err == nil {
			err = c.checkComplete(answer, cmd)
		}
		if err != nil {
			return c.annotate(cmd, err)
		}
	}
	return nil
}

// ValidFlag says whether a flag may be sent in STORE and APPEND: an atom, or \ and an
// atom, but not \Recent, which only the server sets (RFC 9051 9, flag).
func ValidFlag(flag string) bool {
	return isPlainAtom(strings.TrimPrefix(flag, `\`)) && !strings.EqualFold(flag, `\Recent`)
}

// checkFlags returns an error if a flag may not be sent.
func checkFlags(flags []string) error {
	if i := slices.IndexFunc(flags, func(f string) bool { return !ValidFlag(f) }); i >= 0 {
		return fmt.Errorf("flag %q can't be sent", flags[i])
	}
	return nil
}
