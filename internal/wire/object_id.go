package wire

import (
	"errors"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"archiverd/internal/utf7"
)

// maxLabelOctets bounds the labels of one message together.
const maxLabelOctets = 16 << 10

// objectIDItems are the FETCH items for the server's own identifier of a message:
// EMAILID (RFC 8474 5.1), else X-GM-MSGID of Gmail's X-GM-EXT-1, and Gmail's labels.
func (c *Conn) objectIDItems() string {
	switch {
	case c.objectIDsRefused:
		return ""
	case c.HasCapability("OBJECTID") && c.HasCapability("X-GM-EXT-1"):
		return " EMAILID X-GM-LABELS"
	case c.HasCapability("OBJECTID"):
		return " EMAILID"
	case c.HasCapability("X-GM-EXT-1"):
		return " X-GM-MSGID X-GM-LABELS"
	}
	return ""
}

// refusedObjectIDs says whether err may be the server's refusal of object IDs that it
// announces.
func (c *Conn) refusedObjectIDs(q MetadataQuery, err error) bool {
	var refusal *imap.Error
	return q.IDs && c.objectIDItems() != "" && errors.As(err, &refusal) && c.failure() == nil
}

// emailID is the message's EMAILID, or X-GM-MSGID; empty if the reply has neither.
func (f fetchReply) emailID() string {
	if f.email.kind == list {
		inner := cursor{f.email.octets}
		if v := inner.value(); v.kind != list && isObjectID(v.octets) {
			return string(v.octets)
		}
		return ""
	}
	if f.gmail.kind == atom && len(f.gmail.octets) <= 20 && strings.Trim(string(f.gmail.octets), "0123456789") == "" {
		return string(f.gmail.octets)
	}
	return ""
}

// isObjectID says whether id is an objectid (RFC 8474 7): 1 to 255 letters, digits, "_"
// and "-".
func isObjectID(id []byte) bool {
	for _, b := range id {
		if (b < '0' || b > '9') && (b|0x20 < 'a' || b|0x20 > 'z') && b != '_' && b != '-' {
			return false
		}
	}
	return len(id) >= 1 && len(id) <= 255
}

// parseLabels reads X-GM-LABELS: names in modified UTF-7, Gmail's own with a backslash.
// The result is sorted, each label once. The error is errLabels if a label is not
// printable text or they take more than maxLabelOctets.
func parseLabels(v value) (labels []string, err error) {
	if v.kind != list || len(v.octets) > maxLabelOctets {
		return nil, errLabels
	}
	labels = []string{}
	for c := (cursor{v.octets}); ; {
		l := c.value()
		if l.kind == none {
			if c.space(); len(c.b) > 0 {
				return nil, errLabels
			}
			break
		}
		name := string(l.octets)
		if decoded, derr := utf7.Decode(name); derr == nil {
			name = decoded
		}
		if l.kind == list || !isPrintable(name) {
			return nil, errLabels
		}
		labels = append(labels, name)
	}
	slices.Sort(labels)
	return slices.Compact(labels), nil
}

var errLabels = errors.New("unreadable X-GM-LABELS")
