package imapd

import (
	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// Copy handles COPY (RFC 9051 6.4.7).
func (s *session) Copy(set imap.NumSet, name string) (*imap.CopyData, error) {
	v, err := s.selected()
	if err != nil {
		return nil, err
	}
	data, _, err := s.copy(v, set, name)
	return data, err
}

// Move handles MOVE (RFC 9051 6.4.8). Poll reports the removed messages.
func (s *session) Move(w *imapserver.MoveWriter, set imap.NumSet, name string) error {
	v, err := s.writable()
	if err != nil {
		return err
	}
	data, copied, err := s.copy(v, set, name)
	if err != nil || data == nil {
		return err
	}
	v.mailbox.expunge(func(msg *message) bool { return copied[msg] })
	return w.WriteCopyData(data)
}

// copy copies messages and returns which. data is nil if the set has no message.
func (s *session) copy(v *view, set imap.NumSet, name string) (*imap.CopyData, map[*message]bool, error) {
	to, err := s.user.selectable(name)
	if err != nil {
		return nil, nil, tryCreate(err)
	}
	var data *imap.CopyData
	copied := make(map[*message]bool)
	for _, p := range v.pick(set) {
		msg := Message{Flags: p.flags, InternalDate: p.date, Body: p.body, Large: p.file}
		uid, uidValidity := to.append(msg)
		if uid == 0 {
			return nil, nil, errFull()
		}
		if data == nil {
			data = &imap.CopyData{UIDValidity: uidValidity}
		}
		data.SourceUIDs.AddNum(imap.UID(p.uid))
		data.DestUIDs.AddNum(imap.UID(uid))
		copied[p.message] = true
	}
	return data, copied, nil
}
