package hostile

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Liar is a proxy. It stands between a job and an honest server and tampers with the server's
// answers to FETCH and UID SEARCH: it leaves replies out, repeats, delays,
// reorders and truncates them, changes their UIDs, sizes and tags, swaps the
// bodies of two messages, and cuts connections. It does not touch octets within
// a body, a date or a flag: what one such octet ought to have been nobody can know.
// Nor does it list, in the place of a message, one that the archive has and that
// is gone: then number and answers agree, and the message is hidden.
type Liar struct {
	Addr string

	listener net.Listener
	to       string
	seed     uint64
	lies     int  // that a connection may tell
	plain    bool // ESEARCH is hidden
	quiet    bool // SEARCH and its answer are left alone
	wait     sync.WaitGroup

	mu    sync.Mutex
	conns int
	told  []string
}

// NewLiar starts a liar in front of the server at address to. The same seed tells
// the same lies. The caller closes it.
func NewLiar(to string, seed uint64) (*Liar, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Liar{Addr: l.Addr().String(), listener: l, to: to, seed: seed, lies: 1 + int(seed%4), plain: seed%2 == 0}
	p.wait.Go(p.accept)
	return p, nil
}

// accept serves connections until the listener is closed.
func (p *Liar) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns++
		c := &lying{Liar: p, r: rand.New(rand.NewPCG(p.seed, uint64(p.conns))), n: p.conns, client: client}
		p.mu.Unlock()
		p.wait.Go(c.serve)
	}
}

// Close stops listening and waits for the connections to end.
func (p *Liar) Close() error {
	err := p.listener.Close()
	p.wait.Wait()
	return err
}

// Lies returns what it has told so far, for a person.
func (p *Liar) Lies() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.told)
}

// lying is one connection of a liar's.
type lying struct {
	*Liar
	r      *rand.Rand
	n      int // which connection it is
	client net.Conn
	told   int
	held   []reply // that come later
	swap   *reply  // a body that waits for another to change places with
	over   bool
}

// reply is a reply of the server's: lines and the literals between them.
type reply [][]byte

func (u reply) bytes() []byte { return bytes.Join(u, nil) }
func (u reply) isBody() bool {
	return len(u) == 3 && bytes.HasSuffix(bytes.ToUpper(u[0][:bytes.LastIndexByte(u[0], '{')]), []byte("BODY[] "))
}
func (u reply) clone() reply {
	out := make(reply, len(u))
	for i := range u {
		out[i] = bytes.Clone(u[i])
	}
	return out
}

var literalSize = regexp.MustCompile(`\{(\d+)\}\r\n$`)

// readReply reads a whole one.
func readReply(r *bufio.Reader) (reply, error) {
	var u reply
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		u = append(u, line)
		m := literalSize.FindSubmatch(line)
		if m == nil {
			return u, nil
		}
		n, _ := strconv.Atoi(string(m[1]))
		octets := make([]byte, n)
		if _, err := io.ReadFull(r, octets); err != nil {
			return nil, err
		}
		u = append(u, octets)
	}
}

func (c *lying) serve() {
	defer c.client.Close()
	up, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer up.Close()
	c.wait.Go(func() {
		defer up.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := c.client.Read(buf)
			if err != nil {
				return
			}
			_ = c.client.SetReadDeadline(time.Time{}) // it goes on
			if _, err := up.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	in := bufio.NewReader(up)
	for !c.over {
		u, err := readReply(in)
		if err != nil {
			return
		}
		if c.plain {
			u[0] = bytes.ReplaceAll(u[0], []byte("ESEARCH"), []byte("XSEARCH"))
		}
		c.pass(u)
	}
}

var (
	fetchReply  = regexp.MustCompile(`^\* \d+ FETCH `)
	searchReply = regexp.MustCompile(`^\* E?SEARCH`)
	anUID       = regexp.MustCompile(`UID (\d+)`)
	completed   = regexp.MustCompile(`(?i)(FETCH|SEARCH) completed`)
	aSize       = regexp.MustCompile(`(?:RFC822\.SIZE |\{)(\d+)`)
)

// pass sends a reply on, or something else.
func (c *lying) pass(u reply) {
	line := u[0]
	switch {
	case fetchReply.Match(line):
		if c.lucky() {
			c.fetched(u)
			return
		}
	case searchReply.Match(line):
		if !c.quiet && c.lucky() {
			c.searched(u)
			return
		}
	case line[0] != '*' && line[0] != '+':
		c.tagged(u)
		return
	}
	if c.swap != nil && u.isBody() {
		a, b := *c.swap, u.clone()
		c.swap = nil
		if len(a[1]) != len(b[1]) { // sizes tell them apart; nothing else would
			c.tell("swap the bodies of %.40q and %.40q", a[0], b[0])
			a[0], b[0] = resized(a[0], len(b[1])), resized(b[0], len(a[1]))
			a[1], b[1] = b[1], a[1]
		}
		c.send(a)
		u = b
	}
	c.send(u)
	if len(c.held) > 0 && c.r.IntN(3) == 0 {
		c.release()
	}
}

// lucky says whether the time has come for a lie.
func (c *lying) lucky() bool { return c.told < c.lies && c.r.IntN(8) == 0 }

// tell counts a lie. From now on the client may wait for what does not come:
// tagged cuts the connection if it does.
func (c *lying) tell(format string, args ...any) {
	c.told++
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Liar.told = append(c.Liar.told, fmt.Sprintf("%d: ", c.n)+fmt.Sprintf(format, args...))
}

func (c *lying) send(u reply) { c.sendOctets(u.bytes()) }

func (c *lying) sendOctets(octets []byte) {
	if _, err := c.client.Write(octets); err != nil {
		c.over = true
	}
}

func (c *lying) release() {
	for _, u := range c.held {
		c.send(u)
	}
	c.held = nil
}

// cut ends the connection after some octets.
func (c *lying) cut(octets []byte) {
	c.sendOctets(octets[:c.r.IntN(len(octets))])
	c.over = true
}

func (c *lying) fetched(u reply) {
	u = u.clone()
	switch k := c.r.IntN(12); {
	case k == 0:
		c.tell("leave out %.60q", u[0])
	case k == 1:
		c.tell("twice %.60q", u[0])
		c.send(u)
		c.send(u)
	case k == 2:
		c.tell("later %.60q", u[0])
		c.held = append(c.held, u)
	case k == 3:
		c.tell("cut in %.60q", u[0])
		c.cut(u.bytes())
	case k == 4 && u.isBody():
		keep := c.r.IntN(len(u[1]) + 1)
		c.tell("only %d octets of %.60q", keep, u[0])
		u[1] = u[1][:keep]
		c.send(u)
	case k == 4:
		keep := c.r.IntN(len(u[0]) - 2)
		c.tell("only %d octets of %.60q", keep, u[0])
		c.sendOctets(append(u[0][:keep], "\r\n"...))
	case k == 5 && u.isBody():
		c.swap = &u
	case k <= 6 && u.isBody():
		size := max(0, len(u[1])+c.r.IntN(400)-200)
		c.tell("size %d of %.60q", size, u[0])
		u[0] = resized(u[0], size)
		c.send(u)
	case k <= 8:
		c.number(u, anUID, 4)
	case k <= 9:
		c.number(u, aSize, 500)
	default:
		c.garble(u)
	}
}

// resized is a line that announces another size of its literal.
func resized(line []byte, size int) []byte {
	return literalSize.ReplaceAll(line, fmt.Appendf(nil, "{%d}\r\n", size))
}

// number changes the number that re finds by up to most.
func (c *lying) number(u reply, re *regexp.Regexp, most int) {
	at := re.FindSubmatchIndex(u[0])
	if at == nil {
		c.garble(u)
		return
	}
	n, _ := strconv.Atoi(string(u[0][at[2]:at[3]]))
	other := n + 1 + c.r.IntN(most)
	if c.r.IntN(2) == 0 {
		other = max(0, n-1-c.r.IntN(most))
	}
	c.tell("%d for %d in %.60q", other, n, u[0])
	u[0] = slices.Concat(u[0][:at[2]], strconv.AppendInt(nil, int64(other), 10), u[0][at[3]:])
	c.send(u)
}

var sacred = regexp.MustCompile(`"[^"]*"|FLAGS \([^)]*\)`)

// garble changes, inserts or takes out an octet of what stands around bodies,
// dates and flags.
func (c *lying) garble(u reply) {
	i := 0
	if len(u) == 3 {
		i = 2 * c.r.IntN(2)
	}
	line := u[i]
	at := c.r.IntN(len(line))
	for _, span := range sacred.FindAllIndex(line, -1) {
		if span[0] <= at && at < span[1] {
			at = span[1]
		}
	}
	octet := []byte(" (){}[]*\"\r\nUID0159BODYFETCH\x00\xff")[c.r.IntN(28)]
	c.tell("octet %d of %.80q garbled with %q", at, line, octet)
	switch c.r.IntN(3) {
	case 0:
		line[at] = octet
	case 1:
		u[i] = slices.Insert(line, at, octet)
	case 2:
		u[i] = slices.Delete(line, at, at+1)
	}
	c.send(u)
}

func (c *lying) searched(u reply) {
	line := u.clone()[0]
	list := regexp.MustCompile(`(\d+)(?:[ ,:]|\r)`).FindAllSubmatchIndex(line, -1)
	switch k := c.r.IntN(7); {
	case k == 0:
		c.tell("no %.60q", line)
		return
	case k == 1:
		c.tell("twice %.60q", line)
		c.sendOctets(line)
	case k == 2:
		c.tell("cut in %.60q", line)
		c.cut(line)
		return
	case k == 3 && len(list) > 0:
		at := list[c.r.IntN(len(list))]
		c.tell("without %s: %.60q", line[at[2]:at[3]], line)
		line = slices.Delete(line, at[2]-1, at[3])
	case k <= 5 && len(list) > 0:
		at := list[c.r.IntN(len(list))]
		n, _ := strconv.Atoi(string(line[at[2]:at[3]]))
		other := 100 + c.r.IntN(50) // nobody's: one that the archive has would hide the other for good
		c.tell("%d for %d in %.60q", other, n, line)
		line = slices.Concat(line[:at[2]], strconv.AppendInt(nil, int64(other), 10), line[at[3]:])
	default:
		c.tell("empty %.60q", line)
		line = []byte("* SEARCH\r\n")
	}
	c.sendOctets(line)
}

// tagged passes the end of a command's answer.
func (c *lying) tagged(u reply) {
	if c.swap != nil {
		c.send(*c.swap)
		c.swap = nil
	}
	late := c.r.IntN(4) == 0 // even behind the end
	if !late {
		c.release()
	}
	line := u[0]
	if completed.Match(line) {
		if c.lucky() {
			switch c.r.IntN(4) {
			case 0:
				c.tell("tag of %.40q", line)
				line = append([]byte{line[0], '9'}, line[1:]...)
			case 1:
				c.tell("cut in %.40q", line)
				c.cut(line)
				return
			case 2:
				c.tell("twice %.40q", line)
				c.sendOctets(line)
			case 3:
				c.tell("NO for %.40q", line)
				line = bytes.Replace(line, []byte(" OK "), []byte(" NO "), 1)
			}
		}
	}
	c.sendOctets(line)
	if late {
		c.release()
	}
	if c.told > 0 { // a client that says nothing now waits in vain
		_ = c.client.SetReadDeadline(time.Now().Add(patienceOfLiar))
	}
}

// patienceOfLiar is how long a client that was lied to may be silent.
const patienceOfLiar = 50 * time.Millisecond
