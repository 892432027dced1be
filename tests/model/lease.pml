/*
 * The lease of pp-lease(7): N nodes, one lock document, a catalogue that lags, and runs that die anywhere.
 *
 *     sh tests/model/run.sh
 *
 * A node's service is up or down, and goes down only on purpose: what fails by itself is not promised. Runs of
 * a node follow each other, each may die after any step, and knows only what it has seen itself. One look at the
 * documents is one step, and one look at the catalogue a later one.
 *
 * The catalogue may have any node that is registered as passing, at any time: that is what a lag without bound,
 * and answers that overtake each other, come to. Of one that is not registered it says, after any time, that it
 * does not pass, and then nothing else. Where it has fewer as passing than it may, a run only waits, or takes
 * its mark out, as it may do anyway: so the most that it may say is what is looked at.
 *
 * The index of the document only grows, and is only ever compared with what it is now. So there are no
 * numbers here, but for each node whether what it looked at is still so: any number of writes is covered.
 * A compare-and-set whose answer is lost was carried out, or was not, or is still on its way: then it is
 * carried out at any later time, or never, also when the run that sent it is dead. That config is as it was is one
 * more comparison of the same write; min_nodes is constant here.
 *
 * Promised: all N are up at first; whenever a node goes down, at least M others are up, and so always.
 *
 * Mutations, each of which is to break that promise:
 *     NO_NONCE      a mark is always the same text, and writing what is there already changes no index
 *     REUSE_MARK    a run that finds its node up and marked, by a run that died, goes down by that mark
 *     UNMARK_DOWN   who leaves takes its mark out though the catalogue may have it as passing
 *     NO_CAS        the document is written whatever it is by then
 *     STALE_READS   what is looked at in the catalogue may be old, so one that left may still pass in it
 *     HEALTH_FIRST  the catalogue is looked at before the documents
 */
#define BIT(i) (1 << (i))
#define ALL (BIT(N) - 1)
#define COUNT(x) (((x) & 1) + (((x) >> 1) & 1) + (((x) >> 2) & 1) + (((x) >> 3) & 1))

/* Sets of nodes. */
byte marks;            /* the document */
byte up;               /* really */
byte passing;          /* whom the catalogue may have as passing, at a consistent look */
byte fresh;            /* whose look at the document is still true */
byte sent_mark;        /* writes on their way that would still be carried out */
byte sent_unmark;

#ifdef NO_CAS
#define IS_GOOD(i) (1)
#define OUTDATE fresh = 0
#else
#define IS_GOOD(i) ((fresh & BIT(i)) != 0)
#define OUTDATE fresh = 0; sent_mark = 0; sent_unmark = 0
#endif

#ifdef STALE_READS
#define SEEN ALL
#else
#define SEEN passing
#endif

/* A write of i is carried out. What is on its way is then worth nothing any more. */
inline put_mark(i)
{
#ifdef NO_NONCE
	if
	:: (marks & BIT(i)) == 0 -> OUTDATE
	:: else
	fi;
#else
	OUTDATE;
#endif
	marks = marks | BIT(i)
}

inline put_unmark(i)
{
	OUTDATE;
	marks = marks & (ALL - BIT(i))
}

/* Take the mark out, by a document that was looked at in the step before. */
inline unmark(i)
{
	atomic { fresh = fresh | BIT(i) };
	if
	:: atomic { IS_GOOD(i) -> put_unmark(i) }  /* and its answer may be lost */
	:: atomic { sent_unmark = sent_unmark | (IS_GOOD(i) -> BIT(i) : 0) }
	:: skip                                    /* somebody else was first */
	fi
}

proctype node(byte i)
{
	byte seen;     /* who was marked */
	bit enough;

start:
	atomic {
		seen = 0; enough = 0; fresh = fresh & (ALL - BIT(i));
		if
		:: (up & BIT(i)) == 0 -> goto come_up      /* no lease is needed */
		:: (up & BIT(i)) != 0 && (marks & BIT(i)) -> goto give_back
#ifdef REUSE_MARK
		:: (up & BIT(i)) != 0 && (marks & BIT(i)) -> goto go_down
#endif
		:: (up & BIT(i)) != 0                      /* also where it is marked */
		fi
	};

#ifdef HEALTH_FIRST
	atomic { seen = SEEN };
	atomic {
		fresh = fresh | BIT(i);
		enough = (COUNT(seen & (ALL - marks) & (ALL - BIT(i))) >= M);
		seen = marks & BIT(i)
	};
#else
	atomic { fresh = fresh | BIT(i); seen = marks };
	atomic {
		enough = (COUNT(SEEN & (ALL - seen) & (ALL - BIT(i))) >= M);
		seen = seen & BIT(i)
	};
#endif
	if
	:: atomic { !enough && seen != 0 -> goto give_back }
	:: atomic { !enough && seen == 0 -> goto start }   /* waiting */
	:: atomic { enough && !IS_GOOD(i) -> goto start }  /* lost: looks again */
	:: atomic { enough && IS_GOOD(i) -> put_mark(i); seen = 0; enough = 0 }
	:: atomic { enough && IS_GOOD(i) -> sent_mark = sent_mark | BIT(i); goto start }
	:: goto start                                      /* the run dies */
	fi;
	if
	:: goto start                                      /* the answer is lost, or the run dies */
	:: skip
	fi;

go_down:
	atomic {
		seen = 0; enough = 0;
		up = up & (ALL - BIT(i));
		assert(COUNT(up) >= M)
	};
	if
	:: goto start                                      /* the next run, or this one, starts it */
#ifdef UNMARK_DOWN
	:: skip
#else
	:: atomic { passing = passing & (ALL - BIT(i)) }   /* it leaves, and sees that it is gone */
#endif
	fi;
	do
	:: atomic { (marks & BIT(i)) == 0 -> goto start }
	:: goto start
	:: unmark(i)
	od;

come_up:
	atomic { up = up | BIT(i) };
	atomic { passing = passing | BIT(i); goto start };

give_back:
	atomic { seen = 0; enough = 0 };
	unmark(i);
	goto start
}

/* What is on its way to the document arrives, or never does. */
inline arrive(i)
{
	if
	:: atomic { (sent_mark & BIT(i)) != 0 -> sent_mark = sent_mark & (ALL - BIT(i)); put_mark(i) }
	:: atomic { (sent_unmark & BIT(i)) != 0 -> sent_unmark = sent_unmark & (ALL - BIT(i)); put_unmark(i) }
	fi
}

proctype world()
{
end:	do
	:: arrive(0)
	:: arrive(1)
#if N > 2
	:: arrive(2)
#endif
	od
}

init {
	atomic {
		up = ALL; passing = ALL;
		run world();
		run node(0);
		run node(1);
#if N > 2
		run node(2);
#endif
	}
}
