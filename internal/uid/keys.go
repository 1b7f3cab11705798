package uid

import "iter"

// KeysIn yields the keys of m that are in s, in any order. Its time is proportional to
// the smaller of the two: a set may have all UIDs, and a map may be compared with
// thousands of small sets.
func KeysIn[T any](m map[uint32]T, s Set) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		if s.Len() < len(m) {
			for u := range s.All() {
				if _, ok := m[u]; ok && !yield(u) {
					return
				}
			}
			return
		}
		for u := range m {
			if s.Contains(u) && !yield(u) {
				return
			}
		}
	}
}
