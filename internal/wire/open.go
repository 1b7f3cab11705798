package wire

import (
	"context"

	"archiverd/internal/uid"
)

// OpenQuery says what to ask when a mailbox is opened.
type OpenQuery struct {
	Wire      string          // the mailbox, as listed
	CondStore bool            // open with CONDSTORE, where that is announced
	Search    bool            // search for the UIDs of all messages
	Metadata  []MetadataQuery // metadata of messages to fetch
}

// Opened is what the server said of a mailbox that Open has opened.
type Opened struct {
	Examined
	UIDs        uid.Set // of all messages; empty unless OpenQuery.Search
	AllAnswered bool    // every metadata query was sent, and answered with OK
}

// maxPipelined is how many commands are sent in one write, with sets of maxSetOctets:
// few enough that they fit into the server's buffer while it answers.
const maxPipelined = 8

// Open sends EXAMINE, UID SEARCH and the metadata queries in one write, so that it
// waits for one round trip only. One goroutine reads the answers as they come, so none
// blocks another.
//
// fn is given the metadata of messages once the mailbox is open. Whether this is the
// mailbox that the queries were meant for is known only afterwards, from UIDVALIDITY.
// A refused metadata query is no error: the caller asks for what is missing with
// FetchMetadata.
func (c *Conn) Open(ctx context.Context, q OpenQuery, fn func(Metadata) error) (Opened, error) {
	cmd := command{name: cmdExamine, answerWait: c.options.Timeouts.Answer, onNO: ClassMailbox, onBAD: ClassMailbox}
	line, err := c.openCommand(cmd, q.Wire, q.CondStore)
	if err != nil {
		return Opened{}, err
	}
	o := opening{c: c, cmd: cmd, query: q, fn: fn, lines: []string{line}, octetsLeft: maxExamineOctets}
	o.found.octetsLeft = c.options.Limits.Search
	o.addCommands()
	var opened Opened
	err = c.exclusive(ctx, cmd, func() error {
		c.in.allowLongSearch = q.Search
		defer func() { c.in.allowLongSearch = false }()
		opened, err = o.run()
		return err
	})
	if err != nil {
		return Opened{}, err
	}
	return opened, nil
}

// opening is one Open. It belongs to the command that runs.
type opening struct {
	c     *Conn
	cmd   command
	query OpenQuery
	fn    func(Metadata) error

	lines      []string // EXAMINE, UID SEARCH, UID FETCH…
	firstQuery int      // index in lines of the first metadata query
	maxReplies int      // replies to the metadata queries
	allSent    bool     // all metadata queries are in lines

	selected   Selected
	octetsLeft int // of the replies before EXAMINE is answered
	found      searchResult
}

// maxExamineOctets is how many octets a server may send before it answers EXAMINE. The
// flags and numbers of a mailbox need some hundred.
const maxExamineOctets = 1 << 20

// addCommands adds the commands behind EXAMINE, as many as one write takes.
func (o *opening) addCommands() {
	if o.query.Search {
		o.lines = append(o.lines, o.c.searchCommand()+" ALL")
	}
	o.firstQuery, o.allSent = len(o.lines), true
	for _, q := range o.query.Metadata {
		commands := o.c.metadataCommands(q)
		if room := maxPipelined - len(o.lines); len(commands) > room {
			commands, o.allSent = commands[:room], false
		}
		o.lines = append(o.lines, commands...)
		o.maxReplies += q.Set.Len()
	}
}

func (o *opening) run() (Opened, error) {
	c := o.c
	p := c.newPipeline(len(o.lines), min(o.maxReplies, maxMetadataReplies), nil, nil)
	p.onUntagged = func(u untagged) (bool, error) {
		switch {
		case p.answers[0].kind == "": // EXAMINE is not answered: other replies are of the mailbox that was open before
			if o.octetsLeft -= len(u.name) + len(u.rest); o.octetsLeft < 0 {
				return false, protocolError("more octets than the answer to EXAMINE can have: %w", ErrLimit)
			}
			return o.selected.handleUntagged(u)
		case o.query.Search && (u.is("SEARCH") || u.is("ESEARCH")):
			return o.found.handleUntagged(u)
		}
		return handleMetadata(u, o.fn)
	}
	if err := p.exchange(o.lines); err != nil {
		return Opened{}, err
	}
	if err := c.refusal(p.answers[0], o.cmd); err != nil {
		return Opened{}, err
	}
	o.selected.ReadOnly, c.readOnly = p.answers[0].code == "READ-ONLY", true
	opened := Opened{Examined: o.selected.Examined, AllAnswered: o.allSent}
	if o.query.Search {
		cmd := command{name: cmdSearch, onNO: ClassMailbox, onBAD: ClassProtocol}
		var err error
		if opened.UIDs, err = c.searchedUIDs(&o.found, p.answers[1], cmd); err != nil {
			return Opened{}, c.annotate(cmd, err)
		}
	}
	for _, s := range p.answers[o.firstQuery:] {
		cmd := command{name: cmdFetch, onNO: ClassMessage, onBAD: ClassMessage}
		err := c.refusal(s, cmd)
		switch Classify(err) {
		case ClassBusy, ClassThrottled, ClassLogin: // the server refuses, not the query
			return Opened{}, c.annotate(cmd, err)
		}
		opened.AllAnswered = opened.AllAnswered && err == nil
	}
	return opened, nil
}
