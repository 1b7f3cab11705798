package wire

import (
	"context"

	"archiverd/internal/utf7"
)

// Namespace is where a user's personal mailboxes are (RFC 2342).
type Namespace struct {
	Prefix    string // decoded, with its trailing delimiter if the server gives it so, "INBOX."; "" for none
	Delimiter string // of the hierarchy; "" for none
}

// Namespace returns the personal namespace. If the server does not send one, the prefix
// is "" and the delimiter is that of LIST (RFC 9051 6.3.9).
func (c *Conn) Namespace(ctx context.Context) (Namespace, error) {
	var space Namespace
	found := false
	if c.HasCapability("NAMESPACE") {
		cmd := command{name: cmdNamespace, answerWait: c.options.Timeouts.Answer, onNO: ClassProtocol, onBAD: ClassProtocol}
		_, err := c.run(ctx, cmd, "NAMESPACE", func(u untagged) (bool, error) {
			if !u.is("NAMESPACE") {
				return false, nil
			}
			space, found = parseNamespace(u.rest)
			return true, nil
		})
		if err != nil || found {
			return space, err
		}
	}
	cmd := command{name: cmdList, answerWait: c.options.Timeouts.Answer, onNO: ClassProtocol, onBAD: ClassProtocol}
	_, err := c.run(ctx, cmd, `LIST "" ""`, func(u untagged) (bool, error) {
		if !u.is("LIST") {
			return false, nil
		}
		m := parseList(u.rest)
		space.Delimiter, found = m.Delimiter, m.StatusErr == nil
		return true, nil
	})
	if err == nil && !found {
		err = c.annotate(cmd, protocolError("server said OK without the delimiter of mailbox names"))
	}
	return space, err
}

// parseNamespace reads what follows "* NAMESPACE" and returns the first personal
// namespace, if there is one.
func parseNamespace(rest []byte) (Namespace, bool) {
	all := cursor{rest}
	personal := cursor{all.value().octets}
	first := personal.value()
	if first.kind != list {
		return Namespace{}, false
	}
	inner := cursor{first.octets}
	prefix, delimiter := inner.value(), inner.value()
	if prefix.kind != text || delimiter.kind != text && !delimiter.isNil() {
		return Namespace{}, false
	}
	var space Namespace
	if !delimiter.isNil() {
		space.Delimiter = string(delimiter.octets)
	}
	name, err := utf7.Decode(string(prefix.octets))
	if err != nil {
		name = string(prefix.octets)
	}
	space.Prefix = name
	return space, true
}
