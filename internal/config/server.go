package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// setServer parses host, host:port, [IPv6]:port, [IPv6] or IPv6. Without a port,
// Port stays 0.
func (a *Account) setServer(s string) error {
	example := "write host or host:port, e.g. imap.example.com"
	if strings.Contains(s, "://") {
		return fmt.Errorf("%q is a URL; %s (the key tls says how to connect)", s, example)
	}
	host, port := s, ""
	switch {
	case strings.HasPrefix(s, "["):
		inside, rest, ok := strings.Cut(s[1:], "]")
		if !ok || rest != "" && rest[0] != ':' {
			return fmt.Errorf("%q is no address; write an IPv6 address with a port as [2001:db8::1]:993", s)
		}
		if ip, err := netip.ParseAddr(inside); err != nil || !ip.Is6() {
			return fmt.Errorf("%q has no IPv6 address in its brackets; %s", s, example)
		}
		host, port = inside, rest
	case strings.Count(s, ":") == 1:
		i := strings.IndexByte(s, ':')
		host, port = s[:i], s[i:]
	}
	host, err := hostName(host)
	if err != nil {
		return fmt.Errorf("%q: %w; %s", s, err, example)
	}
	a.Host, a.Port = host, 0
	if port != "" {
		n, err := strconv.ParseUint(port[1:], 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("%q: the port must be a number between 1 and 65535", s)
		}
		a.Port = int(n)
	}
	return nil
}

// hostName checks a host name or IP address and returns it in ASCII, as the
// resolver needs it.
func hostName(host string) (string, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		if hasInvisible(ip.Zone()) {
			return "", errors.New("the zone has a control character")
		}
		return ip.String(), nil
	}
	if strings.ContainsFunc(host, func(r rune) bool { return r >= 0x80 }) {
		ascii, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "", errors.New("the host is no valid international name")
		}
		host = ascii
	}
	if len(host) > 253 {
		return "", errors.New("the host has more than 253 octets")
	}
	// RFC 952 forbids underscores, but container networks use them.
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		odd := strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_")
		if label == "" || odd != "" || len(label) > 63 || label[0] == '-' {
			return "", errors.New("the host is no host's name or address")
		}
	}
	return host, nil
}

// isLoopback reports whether traffic to the host stays in this machine.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}
