package uid

import (
	"slices"
	"testing"
)

func TestKeysIn(t *testing.T) {
	all, err := Parse("1:4294967295")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		keys []uint32
		set  Set
		want []uint32
	}{
		{nil, Of(1, 2), nil},
		{[]uint32{1, 2, 3}, Set{}, nil},
		{[]uint32{1, 2, 3}, Of(2), []uint32{2}},
		{[]uint32{3, 1, 4294967295}, all, []uint32{1, 3, 4294967295}},
		{[]uint32{1, 2, 3, 4}, Of(4, 2, 9), []uint32{2, 4}},
	} {
		m := map[uint32]bool{}
		for _, u := range c.keys {
			m[u] = false
		}
		if got := slices.Sorted(KeysIn(m, c.set)); !slices.Equal(got, c.want) {
			t.Errorf("%v in %s: got %v, want %v", c.keys, c.set, got, c.want)
		}
		for range KeysIn(m, c.set) {
			break // the iterator supports an early end
		}
	}
}
