package wire

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// Capabilities sends CAPABILITY and returns the answer in upper case, sorted (RFC
// 9051 6.1.1). A server that says OK without the list ends the connection.
func (c *Conn) Capabilities(ctx context.Context) ([]string, error) {
	cmd := command{name: cmdCapability, answerWait: c.options.Timeouts.Idle, onNO: ClassProtocol, onBAD: ClassProtocol}
	var capabilities map[string]bool
	_, err := c.run(ctx, cmd, "CAPABILITY", func(u untagged) (bool, error) {
		if !u.is("CAPABILITY") {
			return false, nil
		}
		capabilities = parseCapabilities(string(u.rest))
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	if capabilities == nil { // perhaps in a response code
		capabilities = c.server.all()
	}
	if capabilities == nil {
		return nil, c.annotate(cmd, c.abort(protocolError("server said OK without its capabilities")))
	}
	return slices.Sorted(maps.Keys(capabilities)), nil
}

// parseCapabilities reads a capability list, in upper case.
func parseCapabilities(list string) map[string]bool {
	capabilities := make(map[string]bool)
	for _, name := range strings.Fields(strings.ToUpper(list)) {
		if len(capabilities) < 1000 && isPlainAtom(name) {
			capabilities[name] = true
		}
	}
	return capabilities
}

// capabilityList is the server's capability list as go-imap may see it.
func (c *Conn) capabilityList() string {
	list := []string{"IMAP4REV1"}
	for name := range c.server.all() {
		if name != list[0] {
			list = append(list, name)
		}
	}
	slices.Sort(list[1:])
	return strings.Join(list, " ")
}

// isPlainAtom says whether go-imap can read text as an atom: visible ASCII without
// the specials of RFC 9051 9.
func isPlainAtom(text string) bool {
	for i := range len(text) {
		if b := text[i]; b <= ' ' || b >= 0x7f || strings.IndexByte(`(){%*"\]`, b) >= 0 {
			return false
		}
	}
	return text != ""
}
