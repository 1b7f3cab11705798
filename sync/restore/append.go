package restore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"archiverd/archive"
	"archiverd/internal/fingerprint"
	"archiverd/internal/progress"
	"archiverd/internal/session"
	"archiverd/internal/wire"
)

// What is sent in one go. Larger brings nothing: the server's work a message is
// what takes the time.
const (
	sendMessages = 100
	sendOctets   = 8 << 20
)

// deathsOfOne is how many connections may be lost over one message.
const deathsOfOne = 3

// maxTrouble is how many messages are named in a mailbox's ledger.
const maxTrouble = 1000

// parcel is a message that is being sent.
type parcel struct {
	i    int // of the item
	file *os.File
	msg  wire.AppendMessage
	crlf bool // it is sent with a CR before each LF
}

// trouble notes what is to be said of an item.
func (b *restoreBox) addProblem(i int, changed bool, reason string) {
	if changed {
		b.done.Changed++
	}
	if len(b.done.Problems) < maxTrouble {
		b.done.Problems = append(b.done.Problems, Problem{ID: b.items[i].ID, Reason: reason, Changed: changed})
	}
}

// refuse notes that an item is not going to be at the server.
func (s *restoring) refuse(b *restoreBox, i int, reason string) {
	b.fates[i] = refused
	b.addProblem(i, false, reason)
	s.done(1)
}

// append sends what is pending, in order.
func (s *restoring) append(ctx context.Context, w *session.Session, b *restoreBox) error {
	late, cancel := graceful(ctx)
	defer cancel()
	for from := 0; !s.full.Load(); {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		parcels, next, err := s.pack(w, b, from)
		if err != nil || len(parcels) == 0 {
			return err
		}
		from = next
		err = s.send(late, w, b, parcels)
		for _, p := range parcels {
			_ = p.file.Close() // only read from
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pack makes parcels of the next pending items from one on, and says where to go
// on behind them. Each file is read whole before a single octet of it is sent.
func (s *restoring) pack(w *session.Session, b *restoreBox, from int) (parcels []parcel, next int, err error) {
	var octets int64
	for next = from; next < len(b.items); next++ {
		it := b.items[next]
		switch {
		case b.fates[next] != pending:
			continue
		case len(parcels) > 0 && (b.alone > 0 || len(parcels) == sendMessages || octets+it.Size > sendOctets):
			return parcels, next, nil
		case s.limit > 0 && it.Size > s.limit:
			s.refuse(b, next, fmt.Sprintf("has %d octets; the server takes no more than %d", it.Size, s.limit))
			continue
		case b.deaths[next] >= deathsOfOne:
			s.refuse(b, next, "the connection is lost whenever it is sent")
			w.ResetBackoff() // it is the message, not the server
			continue
		}
		f, err := s.r.Open(it.ID)
		if err != nil {
			s.refuse(b, next, fmt.Sprintf("can't be read: %v; run `archiverd verify`", err))
			continue
		}
		t, err := examineFile(f, it)
		if err != nil {
			_ = f.Close() // only read from
			s.refuse(b, next, err.Error())
			continue
		}
		if t.Any() {
			b.traits[next] = t
		}
		octets += it.Size
		msg := wire.AppendMessage{Flags: b.keep(it.Flags), Size: it.Size, Body: f}
		if y := it.InternalDate.Year(); y > 0 && y <= 9999 { // what APPEND can say
			msg.Date = it.InternalDate
		}
		parcels = append(parcels, parcel{i: next, file: f, msg: msg})
	}
	return parcels, next, nil
}

// keep are the flags that the mailbox can keep. What it can't is noted.
func (b *restoreBox) keep(flags []string) []string {
	var out []string
	for _, f := range flags {
		ok := wire.ValidFlag(f)
		if sel := b.selected; ok && sel.HasPermanentFlags && !sel.AllowsNewKeywords {
			ok = slices.ContainsFunc(sel.PermanentFlags, func(k string) bool { return strings.EqualFold(k, f) })
		}
		if ok {
			out = append(out, f)
		} else {
			b.bare[f] = true
		}
	}
	return out
}

// send appends messages and deals with what the server refuses of them.
func (s *restoring) send(ctx context.Context, w *session.Session, b *restoreBox, parcels []parcel) error {
	if s.full.Load() {
		return nil
	}
	results, err := s.post(ctx, w, b, parcels)
	if err != nil {
		return err
	}
	b.alone = max(0, b.alone-len(parcels))
	var again []parcel
	for k, a := range results {
		if a.State == wire.AppendRefused {
			again = append(again, parcels[k])
		}
	}
	switch {
	case len(again) == 0:
		return nil
	case len(parcels) == 1:
		return s.refusal(ctx, w, b, parcels[0], results[0].Err)
	case len(again) == len(parcels) && w.Conn().HasCapability("MULTIAPPEND"): // all for one
		if err := s.send(ctx, w, b, parcels[:len(parcels)/2]); err != nil {
			return err
		}
		return s.send(ctx, w, b, parcels[len(parcels)/2:])
	}
	for _, p := range again {
		if err := s.send(ctx, w, b, []parcel{p}); err != nil {
			return err
		}
	}
	return nil
}

// post appends messages and notes what became of them. After a lost connection
// they are sent one by one, until it is known which of them it is lost over.
func (s *restoring) post(ctx context.Context, w *session.Session, b *restoreBox, parcels []parcel) ([]wire.Appended, error) {
	messages := make([]wire.AppendMessage, len(parcels))
	for k, p := range parcels {
		if _, err := p.file.Seek(0, io.SeekStart); err != nil {
			return nil, fmt.Errorf("read %s: %w", b.items[p.i].ID, err)
		}
		messages[k] = p.msg
		if p.crlf {
			messages[k].Body = &crlfReader{r: bufio.NewReaderSize(p.file, 64<<10)}
			messages[k].Size += int64(b.traits[p.i].BareLF)
		}
	}
	results, err := w.Conn().Append(ctx, b.dest.Wire, messages)
	switch {
	case err == nil || ctx.Err() != nil:
	case len(parcels) > 1:
		b.alone = len(parcels)
	default:
		b.deaths[parcels[0].i]++
	}
	for k, a := range results {
		i := parcels[k].i
		if a.State == wire.AppendUnknown {
			b.fates[i] = unsure
		}
		if a.State != wire.AppendDone {
			continue
		}
		b.fates[i] = appended
		if a.UIDValidity == b.selected.UIDValidity && a.UID >= b.next && a.UID > b.newest { // they ascend; of others none is believed
			b.uids[i], b.newest = a.UID, a.UID
		}
		b.done.Octets += b.items[i].Size
		s.done(1)
		s.r.meter.Change(func(m *progress.Progress) { m.Octets += b.items[i].Size })
		w.ResetBackoff()
	}
	return results, err
}

// refusal decides what becomes of one message that the server has refused.
func (s *restoring) refusal(ctx context.Context, w *session.Session, b *restoreBox, p parcel, cause error) error {
	var e *wire.Error
	if !errors.As(cause, &e) {
		return cause
	}
	switch {
	case e.Code == "OVERQUOTA" || strings.Contains(strings.ToLower(e.Text), "over quota"): // Cyrus says it in words
		s.full.Store(true)
		return nil
	case e.Code == "TRYCREATE" || e.Code == "NONEXISTENT":
		return fmt.Errorf("mailbox %s is gone while it is being restored: %w", b.dest.Name, cause)
	case e.Class == wire.ClassBusy || e.Class == wire.ClassThrottled:
		return cause
	}
	for _, less := range b.less(p) {
		q := p
		q.msg.Flags, q.msg.Date, q.crlf = less.flags, less.date, less.crlf
		results, err := s.post(ctx, w, b, []parcel{q})
		if err != nil {
			return err
		}
		if results[0].State == wire.AppendDone {
			b.reduced[p.i] = true
			b.addProblem(p.i, true, fmt.Sprintf("the server refused it with %s, and got it without: %v", less.without, cause))
			return nil
		}
	}
	s.refuse(b, p.i, cause.Error())
	return nil
}

// lesser is a message with less of what a server may not want.
type lesser struct {
	flags   []string
	date    time.Time
	crlf    bool // each bare LF as CRLF
	without string
}

// less are the ways to send a message with less: better without a keyword, or
// with the line ends that RFC 5322 wants, than not at all. Of a large message
// the octets are more likely the reason than its flags.
func (b *restoreBox) less(p parcel) []lesser {
	var out []lesser
	if b.traits[p.i].BareLF > 0 {
		out = append(out, lesser{flags: p.msg.Flags, date: p.msg.Date, crlf: true, without: "LF without CR"})
	}
	if p.msg.Size > sendOctets {
		return out
	}
	system := slices.DeleteFunc(slices.Clone(p.msg.Flags), func(f string) bool { return f[0] != '\\' })
	if len(system) < len(p.msg.Flags) {
		out = append(out, lesser{flags: system, date: p.msg.Date, without: "its keywords (" + strings.Join(p.msg.Flags, " ") + ")"})
	}
	if len(p.msg.Flags) > 0 || !p.msg.Date.IsZero() {
		out = append(out, lesser{without: "its flags and date"})
	}
	return out
}

// errDamaged is returned when a message is not what its journal says.
var errDamaged = errors.New("the archive's file is damaged, so it is not restored; run `archiverd verify`")

// examineFile reads a message's file whole, and compares it with what it should
// be. The file is then at its start again.
func examineFile(f *os.File, it Item) (fingerprint.Traits, error) {
	var scan fingerprint.TraitScanner
	sum, n, err := archive.Hash(io.TeeReader(f, &scan))
	if err != nil {
		return fingerprint.Traits{}, fmt.Errorf("read: %w", err)
	}
	if n != it.Size || sum != it.Sum {
		return fingerprint.Traits{}, errDamaged
	}
	_, err = f.Seek(0, io.SeekStart)
	return scan.Traits(), err
}

// crlfReader gives each LF that has no CR before it one.
type crlfReader struct {
	r    *bufio.Reader
	last byte
	held bool // an LF whose CR was given
}

func (c *crlfReader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if c.held {
			p[n], c.last, c.held = '\n', '\n', false
			n++
			continue
		}
		o, err := c.r.ReadByte()
		if err != nil {
			return n, err
		}
		if c.held = o == '\n' && c.last != '\r'; c.held {
			o = '\r'
		}
		p[n], c.last = o, o
		n++
	}
	return n, nil
}
