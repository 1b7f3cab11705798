package wire

import (
	"context"
	"math"
	"strings"

	"archiverd/internal/pattern"
)

// Quota is the storage quota of a mailbox's owner, in octets (RFC 9208).
type Quota struct {
	Used  int64
	Limit int64 // 0: none, or not sent
}

// Quota returns the quota of a mailbox: of its quota roots, the one with the least space
// left. Without the capability QUOTA nothing is sent.
func (c *Conn) Quota(ctx context.Context, wireName string) (Quota, error) {
	if !c.HasCapability("QUOTA") {
		return Quota{}, nil
	}
	cmd := command{name: cmdQuota, answerWait: c.options.Timeouts.Answer, onNO: ClassMailbox, onBAD: ClassMailbox}
	name, ok := quote(wireName)
	if !ok {
		return Quota{}, c.annotate(cmd, errUnsendable)
	}
	var least Quota
	_, err := c.run(ctx, cmd, "GETQUOTAROOT "+name, func(u untagged) (bool, error) {
		if !u.is("QUOTA") {
			return u.is("QUOTAROOT"), nil
		}
		q := parseQuota(u.rest)
		if q.Limit > 0 && (least.Limit == 0 || q.Limit-q.Used < least.Limit-least.Used) {
			least = q
		}
		return true, nil
	})
	if err != nil {
		return Quota{}, err
	}
	return least, nil
}

// parseQuota reads what follows "* QUOTA": root (STORAGE 10 512 MESSAGE 3 100).
func parseQuota(rest []byte) Quota {
	c := cursor{rest}
	c.value() // the root
	inner := cursor{c.value().octets}
	for {
		name, used, limit := inner.value(), inner.value(), inner.value()
		if limit.kind == none {
			return Quota{}
		}
		if u, ok := used.number(); ok && isKey(name.octets, "STORAGE") {
			if l, ok := limit.number(); ok {
				return Quota{Used: storageOctets(u), Limit: storageOctets(l)}
			}
		}
	}
}

// storageOctets converts units of STORAGE to octets (RFC 9208 5.1).
func storageOctets(units uint64) int64 { return int64(min(units, math.MaxInt64>>10)) << 10 }

// AppendLimit returns how many octets a message may have that is appended to a mailbox
// (RFC 7889). 0 means that there is no limit, or the server does not say.
func (c *Conn) AppendLimit(ctx context.Context, wireName string) (int64, error) {
	if limit, everywhere := c.announcedLimit(); everywhere || !c.HasCapability("APPENDLIMIT") {
		return limit, nil
	}
	cmd := command{name: cmdStatus, answerWait: c.options.Timeouts.Answer, onNO: ClassMailbox, onBAD: ClassMailbox}
	name, ok := quote(wireName)
	if !ok {
		return 0, c.annotate(cmd, errUnsendable)
	}
	var limit int64
	_, err := c.run(ctx, cmd, "STATUS "+name+" (APPENDLIMIT)", func(u untagged) (bool, error) {
		mailbox, items, ok := splitStatusReply(u)
		if !ok || !pattern.SameName(mailbox, wireName) {
			return false, nil
		}
		for {
			k, v := items.key(), items.value()
			if len(k) == 0 || v.kind == none {
				return true, nil
			}
			if n, ok := v.number(); ok && isKey(k, "APPENDLIMIT") {
				limit = int64(n)
			}
		}
	})
	if err != nil {
		return 0, err
	}
	return limit, nil
}

// announcedLimit returns the limit that holds for all mailboxes, "APPENDLIMIT=10000".
func (c *Conn) announcedLimit() (int64, bool) {
	for name := range c.server.all() {
		if digits, ok := strings.CutPrefix(name, "APPENDLIMIT="); ok {
			n, ok := number([]byte(digits))
			return int64(n), ok
		}
	}
	return 0, false
}
