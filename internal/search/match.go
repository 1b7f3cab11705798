package search

import "strings"

// matchesDocument says whether the terms about octets hold for a document of that size. It
// may lack what [Query.reads] says is not needed.
func (q *Query) matchesDocument(d *document, size int64) bool {
	for i := range q.terms {
		if t := &q.terms[i]; !t.isAboutPlace() && t.matchesDocument(d, size) == t.negated {
			return false
		}
	}
	return true
}

func (t *term) matchesDocument(d *document, size int64) bool {
	switch t.kind {
	case largerKind:
		return size > t.size
	case smallerKind:
		return size < t.size
	case attachmentKind:
		return d.attachment
	}
	phrase := " " + t.words
	if !t.prefix {
		phrase += " "
	}
	if t.columns == nil {
		for _, words := range d.words {
			if strings.Contains(words, phrase) {
				return true
			}
		}
		return false
	}
	for _, c := range t.columns {
		if strings.Contains(d.words[c], phrase) {
			return true
		}
	}
	return false
}
