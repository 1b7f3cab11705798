package archive

// Visitor interprets the events of a journal, in order: one method per Kind. An
// error ends the replay.
type Visitor interface {
	VisitOpened(Event) error
	VisitAdded(Event) error
	VisitFlags(Event) error
	VisitGone(Event) error
	VisitFailed(Event) error
	VisitVanished(Event) error
	// VisitUnknown gets the events of kinds that this package does not know: a
	// newer archiverd wrote them.
	VisitUnknown(Event) error
}

// Visit hands e to the method of v for its Kind.
func Visit(e Event, v Visitor) error {
	switch e.Kind {
	case Opened:
		return v.VisitOpened(e)
	case Added:
		return v.VisitAdded(e)
	case Flags:
		return v.VisitFlags(e)
	case Gone:
		return v.VisitGone(e)
	case Failed:
		return v.VisitFailed(e)
	case Vanished:
		return v.VisitVanished(e)
	default:
		return v.VisitUnknown(e)
	}
}

// Visit is Replay with a Visitor.
func (a *Archive) Visit(b MailboxDir, from Position, v Visitor) (Position, error) {
	return a.Replay(b, from, func(e Event) error { return Visit(e, v) })
}
