package ui

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
)

// Table is a table for people: a line for each row, columns of numbers aligned right,
// behind them one or more columns of text.
type Table[T any] struct {
	Numbers []Number[T]
	Texts   []Text[T]
}

// Number is a column of numbers.
type Number[T any] struct {
	Title  string
	Of     func(T) int64
	Format func(int64) string // nil: decimal digits
	// HideZero leaves the column out if the number of the sum row is 0.
	HideZero bool
}

// Text is a column of text. Of returns text that is safe to print.
type Text[T any] struct {
	Title string
	Of    func(T) string
}

// Comma writes n with commas between thousands.
func Comma(n int64) string { return humanize.Comma(n) }

// Octets writes a number of octets in KiB, MiB or GiB. A negative number counts as 0.
func Octets(n int64) string { return humanize.IBytes(uint64(max(0, n))) }

// Print writes the table. With sum, a last row "in all" has the numbers of *sum, and
// columns with HideZero can be left out. Each of the remarks is a row without numbers,
// before the sum.
func (t *Table[T]) Print(w io.Writer, rows []T, sum *T, remarks ...string) error {
	var shown []Number[T]
	for _, n := range t.Numbers {
		if !n.HideZero || sum == nil || n.Of(*sum) != 0 {
			shown = append(shown, n)
		}
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	numbers := func(cell func(Number[T]) string) {
		for _, n := range shown {
			fmt.Fprint(out, cell(n), "\t")
		}
	}
	texts := func(cell func(Text[T]) string) {
		for i, x := range t.Texts {
			if i > 0 {
				fmt.Fprint(out, "\t")
			}
			fmt.Fprint(out, "\t", cell(x))
		}
		fmt.Fprintln(out)
	}
	label := func(text string) func(Text[T]) string { return func(Text[T]) string { return text } }

	numbers(func(n Number[T]) string { return n.Title })
	texts(func(x Text[T]) string { return x.Title })
	for _, row := range rows {
		numbers(func(n Number[T]) string { return n.cell(row) })
		texts(func(x Text[T]) string { return x.Of(row) })
	}
	for _, remark := range remarks {
		numbers(func(Number[T]) string { return "" })
		texts(label(remark))
	}
	if sum != nil {
		numbers(func(n Number[T]) string { return n.cell(*sum) })
		texts(label("in all"))
	}
	return out.Flush()
}

func (n Number[T]) cell(row T) string {
	if n.Format == nil {
		return strconv.FormatInt(n.Of(row), 10)
	}
	return n.Format(n.Of(row))
}
