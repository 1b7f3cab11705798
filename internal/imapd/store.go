package imapd

import (
	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// Store handles STORE (RFC 9051 6.4.6).
func (s *session) Store(w *imapserver.FetchWriter, set imap.NumSet, change *imap.StoreFlags, _ *imap.StoreOptions) error {
	v, err := s.writable()
	if err != nil {
		return err
	}
	given := fromFlags(change.Flags)
	v.store(set, func(flags []string) []string {
		switch change.Op {
		case imap.StoreFlagsAdd:
			return addFlags(flags, given)
		case imap.StoreFlagsDel:
			return removeFlags(flags, given)
		default:
			return addFlags(nil, given)
		}
	}, true)
	if change.Silent {
		return nil
	}
	for _, p := range v.pick(set) {
		r := w.CreateMessage(p.seq)
		r.WriteUID(imap.UID(p.uid))
		r.WriteFlags(toFlags(p.flags))
		if err := r.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Expunge handles EXPUNGE, UID EXPUNGE and the first half of CLOSE (RFC 9051 6.4.1,
// 6.4.3, 6.4.9). Poll reports the removed messages.
func (s *session) Expunge(w *imapserver.ExpungeWriter, set *imap.UIDSet) error {
	v, err := s.writable()
	if v != nil && v.readOnly && *w == (imapserver.ExpungeWriter{}) { // CLOSE after EXAMINE expunges nothing
		return nil
	}
	if err != nil {
		return err
	}
	in := func(uint32, *message) bool { return true }
	if set != nil {
		in = v.matcher(*set)
	}
	v.mailbox.expunge(func(msg *message) bool { return msg.has(`\Deleted`) && in(0, msg) })
	return nil
}
