package sync

// Policy is what the configuration says about an account's mail: what is
// archived, and how. Its zero value archives everything.
type Policy struct {
	// Select reports whether a mailbox is archived, and if not, which rule of the
	// configuration excludes it. nil selects every mailbox.
	Select func(name, delimiter string, attrs []string) (ok bool, rule string)
	// MaxMessage is the largest message that is archived, in octets; 0 means any size.
	MaxMessage int64
	Matching   Matching
}

// selects is Select, which may be nil.
func (p *Policy) selects(name, delimiter string, attrs []string) (ok bool, rule string) {
	if p.Select == nil {
		return true, ""
	}
	return p.Select(name, delimiter, attrs)
}
