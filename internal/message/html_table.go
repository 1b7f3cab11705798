package message

import (
	"bytes"
	"strings"

	"github.com/rivo/uniseg"
)

// cellEnd separates two cells in the text of an open table. isFiller and word remove this
// control character from the text of the message.
const (
	cellEnd     = "\x1f"
	cellEndRune = '\x1f'
)

// table is an open table.
type table struct {
	offset     int  // offset of its text
	isLayout   bool // it contains a table: it is for layout
	rowOffset  int  // offset of the text of its current row
	rowHasCell bool // the current row has a cell
}

// Limits for tables that are aligned: the width in columns of a terminal, and the numbers
// of columns and rows.
const (
	maxTableWidth = 110
	maxColumns    = 20
	maxRows       = 2000
)

func (p *htmlPage) beginTable() {
	if n := len(p.tables); n > 0 {
		p.tables[n-1].isLayout = true
	}
	p.tables = append(p.tables, table{offset: len(p.out), rowOffset: len(p.out)})
}

func (p *htmlPage) beginRow() {
	if n := len(p.tables); n > 0 {
		p.tables[n-1].rowHasCell = false
	}
}

// beginCell starts a cell, on the line of the cell before it unless that has several lines.
func (p *htmlPage) beginCell() {
	n := len(p.tables)
	if n == 0 {
		p.space = true
		return
	}
	t := &p.tables[n-1]
	switch {
	case !t.rowHasCell:
		t.rowOffset = len(p.out)
	case p.lastLineEnd > t.rowOffset:
		p.newlines = max(p.newlines, 1)
	default:
		p.pendingCells++
	}
	t.rowHasCell, p.atCellStart = true, true
}

// endTable aligns the columns of the innermost table, unless it is for layout.
func (p *htmlPage) endTable() {
	n := len(p.tables) - 1
	t := p.tables[n]
	p.tables = p.tables[:n]
	p.pendingCells = 0
	if t.isLayout || t.offset >= len(p.out) {
		return
	}
	if aligned := alignTable(p.out[t.offset:]); aligned != nil {
		p.out = append(p.out[:t.offset], aligned...)
	}
}

// alignTable returns the rows of a table with aligned columns; nil if the table has less
// than two columns or rows, or exceeds a limit.
func alignTable(text []byte) []byte {
	if bytes.Count(text, []byte("\n")) > maxRows {
		return nil
	}
	var widths []int
	rows := bytes.Split(text, []byte("\n"))
	tabular := 0
	for _, row := range rows {
		cells := bytes.Split(row, []byte(cellEnd))
		if len(cells) == 1 {
			continue // a caption, a heading
		}
		if len(cells) > maxColumns || len(row) > 4*maxTableWidth {
			return nil
		}
		tabular++
		for i, c := range cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], uniseg.StringWidth(string(c)))
		}
	}
	sum := 0
	for _, w := range widths {
		sum += w + 2
	}
	if tabular < 2 || sum > maxTableWidth {
		return nil
	}
	var out []byte
	for i, row := range rows {
		if i > 0 {
			out = append(out, '\n')
		}
		cells := bytes.Split(row, []byte(cellEnd))
		for j, c := range cells {
			out = append(out, c...)
			if j < len(cells)-1 {
				out = append(out, bytes.Repeat([]byte(" "), widths[j]+2-uniseg.StringWidth(string(c)))...)
			}
		}
	}
	return out
}

// separateCells writes spaces between the cells of tables that are not aligned, and
// removes empty cells at the beginning of a line.
func separateCells(out []byte) string {
	var b strings.Builder
	b.Grow(len(out) + len(out)/16)
	begin := true
	for _, c := range out {
		switch {
		case c != cellEndRune:
			b.WriteByte(c)
			begin = c == '\n'
		case !begin:
			b.WriteString("  ")
		}
	}
	return b.String()
}
