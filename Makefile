# GNU make. `make` builds, `make check` tests, `make lint` looks closely, `make install` installs.
# Yours to set: CC, CFLAGS, CPPFLAGS, LDFLAGS (all after ours), BUILD, PREFIX, DESTDIR, WERROR=1, SAN=1.

VERSION := 0.1.0

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
PKG_CONFIG ?= pkg-config
INSTALL ?= install
CLANG_FORMAT ?= clang-format
CLANG_TIDY ?= clang-tidy
ifeq ($(origin CC),default)
CC := gcc
endif

.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules
all:

# --- what is built from what

BASE_SRC := $(wildcard lib/base/*.c)
UNPACK_SRC := cmd/pp-unpack.c $(wildcard lib/artifact/unpack*.c) lib/sys/sandbox.c
PP_SRC := $(filter-out cmd/pp-unpack.c lib/artifact/unpack%.c lib/sys/sandbox.c,\
	$(wildcard cmd/*.c lib/*/*.c))
UNIT_SRC := $(wildcard tests/unit/test_*.c)
DRIVER_SRC := $(wildcard tests/drivers/*.c)
HEADERS := $(wildcard cmd/*.h lib/*/*.h tests/unit/*.h tests/drivers/*.h tests/fuzz/*.h)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
C_FILES := $(sort $(PP_SRC) $(wildcard $(UNPACK_SRC)) $(UNIT_SRC) $(DRIVER_SRC) $(FUZZ_SRC))

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
PP_OBJ := $(call objects,$(PP_SRC))
UNPACK_OBJ := $(call objects,$(UNPACK_SRC))
BASE_OBJ := $(call objects,$(BASE_SRC))
UNIT_OBJ := $(call objects,$(UNIT_SRC))
DRIVER_OBJ := $(call objects,$(DRIVER_SRC))
UNITS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRC)) \
	$(patsubst tests/drivers/%.c,$(BUILD)/drivers/%,$(DRIVER_SRC))

# --- flags

PACKAGES := jansson libbsd inih yaml-0.1 libcurl libarchive libcrypto \
	libisal libzstd liblzma
ifneq ($(filter-out clean uninstall fmt fmt-check lint-sh lint-man,$(or $(MAKECMDGOALS),all)),)
PKG_FLAGS := $(shell $(PKG_CONFIG) --cflags --libs $(PACKAGES))
ifeq ($(strip $(PKG_FLAGS)),)
$(error $(PKG_CONFIG) does not find all of: $(PACKAGES). `sh scripts/deps.sh build` installs them)
endif
endif

# libcurl gives pp its headers only: it is loaded on the first request, not before main().
LIBS := $(filter -l% -L%,$(PKG_FLAGS))
UNPACK_ONLY := -larchive -lcrypto -lisal -lzstd -llzma
PP_LIBS := $(filter-out $(UNPACK_ONLY) -lcurl,$(LIBS)) -ldl
UNPACK_LIBS := $(filter-out -lcurl -ljansson -linih -lyaml,$(LIBS)) -lbz2 -lpthread

CPP_BASE := -D_GNU_SOURCE -I. -DPP_VERSION=\"$(VERSION)\" $(filter-out -l% -L%,$(PKG_FLAGS))
C_BASE := -std=c17 -g -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wwrite-strings -Wformat=2 -Wno-format-nonliteral -fPIE
LD_BASE := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
ifdef SAN
C_BASE += -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
LD_BASE += -fsanitize=address,undefined
else
C_BASE += -O2 -fstack-protector-strong
CPP_BASE += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif
ifdef WERROR
C_BASE += -Werror
endif

COMPILE = $(CC) $(CPP_BASE) $(C_BASE) $(CPPFLAGS) $(CFLAGS)
LINK = $(CC) $(C_BASE) $(CFLAGS) $(LD_BASE) $(LDFLAGS)

# --- building

.PHONY: all units check check-san lint lint-gcc lint-clang lint-tidy lint-cppcheck lint-man lint-sh \
	fmt fmt-check compdb bench fuzz fuzz-check fuzzers install uninstall clean FORCE

all: $(BUILD)/pp $(BUILD)/pp-unpack
units: $(UNITS)

$(BUILD)/pp: $(PP_OBJ)
	@mkdir -p $(@D)
	$(LINK) -o $@ $(PP_OBJ) $(PP_LIBS)

$(BUILD)/pp-unpack: $(UNPACK_OBJ) $(BUILD)/base.a
	$(LINK) -o $@ $^ $(UNPACK_LIBS)

# An archive, so that pp-unpack gets of lib/base what it calls, and not what that would need.
$(BUILD)/base.a: $(BASE_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

UNIT_LIB_OBJ := $(filter-out $(BUILD)/obj/cmd/%.o,$(PP_OBJ)) \
	$(call objects,$(addprefix lib/artifact/unpack_,list.c name.c pipe.c tag.c thread.c))
UNIT_LIBS := $(PP_LIBS) -lcrypto
$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(UNIT_LIB_OBJ)
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(UNIT_LIBS)

# What tests of bats call functions of lib/ by.
$(BUILD)/drivers/%: $(BUILD)/obj/tests/drivers/%.o $(UNIT_LIB_OBJ)
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(UNIT_LIBS)

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(COMPILE) -MMD -MP -c -o $@ $<

# Changes when the flags do, so that what was compiled with other ones is compiled again.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(COMPILE) | $(LINK))' >$@.new
	@if cmp -s $@.new $@; then rm -f $@.new; else mv -f $@.new $@; fi

-include $(PP_OBJ:.o=.d) $(UNPACK_OBJ:.o=.d) $(UNIT_OBJ:.o=.d) $(DRIVER_OBJ:.o=.d) $(FUZZ_OBJ:.o=.d)

# --- testing; T=sudoers: only the tests of that name

check:
	+BUILD='$(BUILD)' sh tests/run.sh --no-install $(T)

check-san:
	+BUILD='$(BUILD)/san' SAN=1 sh tests/run.sh --no-install $(T)

# libFuzzer, which is clang's: make fuzz [FUZZ="name digest"] [FUZZ_SECONDS=600]. What it learns stays
# in $(BUILD)/fuzz/corpus; what it finds is named, and kept beside that. fuzz-check runs each target on
# the small corpus that is committed.

FUZZ ?= $(FUZZ_SRC:tests/fuzz/fuzz_%.c=%)
FUZZ_SECONDS ?= 600
FUZZ_BUILD := $(BUILD)/fuzz
FUZZ_OBJ := $(call objects,$(FUZZ_SRC))

fuzz fuzz-check:
	+@$(MAKE) -s --no-print-directory BUILD='$(FUZZ_BUILD)' CC=clang SAN=1 \
		CFLAGS='$(CFLAGS) -fsanitize=fuzzer-no-link' fuzzers
	@for name in $(FUZZ); do \
		learnt='$(FUZZ_BUILD)/corpus/'$$name; set -- -runs=0; \
		[ $@ = fuzz-check ] || set -- -max_total_time=$(FUZZ_SECONDS) "$$learnt"; \
		mkdir -p "$$learnt"; echo "== $$name"; \
		'$(FUZZ_BUILD)'/fuzz_$$name -timeout=30 -rss_limit_mb=2048 -max_len=20000 -verbosity=0 -print_final_stats=1 \
			-artifact_prefix='$(FUZZ_BUILD)/'$$name- "$$@" tests/fuzz/corpus/$$name || exit 1; \
	done

fuzzers: $(FUZZ_SRC:tests/fuzz/fuzz_%.c=$(BUILD)/fuzz_%)

$(BUILD)/fuzz_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(BUILD)/fuzzed.a
	$(LINK) -fsanitize=fuzzer -o $@ $^ $(sort $(PP_LIBS) $(UNPACK_LIBS))

$(BUILD)/fuzzed.a: $(filter-out $(BUILD)/obj/cmd/%.o,$(sort $(PP_OBJ) $(UNPACK_OBJ)))
	@rm -f $@
	$(AR) rcs $@ $^

bench: all
	@found=; for b in tests/bench/*.sh; do \
		[ -f "$$b" ] || continue; found=1; \
		echo "== $$b"; PP='$(abspath $(BUILD)/pp)' sh "$$b" || exit 1; \
	done; [ -n "$$found" ] || echo "no benchmarks in tests/bench/"

# --- looking closely

SH_FILES := $(wildcard .ci/run scripts/*.sh tests/*.sh tests/*/*.sh \
	examples/*.sh examples/consul/*.sh examples/slug/*.sh examples/slug/bin/* examples/fake/bin/*)
BATS_FILES := $(wildcard tests/bats/*.bats tests/bats/*.bash tests/cluster/*.bash)
MAN_FILES := $(wildcard man/*.[1-9])
TIDY_STAMPS := $(patsubst %.c,$(BUILD)/lint/%.tidy,$(filter cmd/% lib/%,$(C_FILES)))

lint: fmt-check lint-sh lint-man lint-gcc lint-clang lint-cppcheck lint-tidy
	@echo "lint: clean"

lint-gcc:
	+$(MAKE) -s --no-print-directory BUILD='$(BUILD)/lint-gcc' CC=gcc WERROR=1 all units

lint-clang:
	+$(MAKE) -s --no-print-directory BUILD='$(BUILD)/lint-clang' CC=clang WERROR=1 all units

lint-tidy: $(TIDY_STAMPS)

$(BUILD)/lint/%.tidy: %.c $(HEADERS) .clang-tidy
	@mkdir -p $(@D)
	$(CLANG_TIDY) --quiet $< -- -std=c17 $(CPP_BASE) $(CPPFLAGS)
	@touch $@

# It does not see what scope cleanup (AUTO_*) releases; clang-tidy and LeakSanitizer look for leaks.
lint-cppcheck:
	@mkdir -p $(BUILD)/lint/cppcheck
	cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
		--inline-suppr --suppress=missingIncludeSystem --suppress=memleak --suppress=resourceLeak \
		--cppcheck-build-dir=$(BUILD)/lint/cppcheck --library=posix,gnu -D_GNU_SOURCE -I. \
		-D'json_object_foreach(o,k,v)=for(;;)' -D'json_object_foreach_safe(o,n,k,v)=for(;;)' \
		-D'json_array_foreach(a,i,v)=for(;;)' $(filter cmd/% lib/%,$(C_FILES))

# Pages refer to pages that may not be installed here; every other remark counts, matters of style too.
lint-man:
	@[ -z "$(MAN_FILES)" ] || { ! mandoc -Tlint -Wstyle $(MAN_FILES) | \
		grep -v 'referenced manual not found'; }

# Bats runs a test's body in a way that shellcheck takes for a subshell (SC2030, SC2031), and sets
# variables that it does not see set (SC2154) or used (SC2034). What tests list with ls has names that
# they chose (SC2010).
lint-sh:
	shellcheck -x -P SCRIPTDIR $(SH_FILES)
	@[ -z "$(BATS_FILES)" ] || { set -x; \
		shellcheck -x -P SCRIPTDIR -S warning -e SC2010,SC2030,SC2031,SC2034,SC2154 $(BATS_FILES); }

fmt-check:
	$(CLANG_FORMAT) --dry-run -Werror $(C_FILES) $(HEADERS)

fmt:
	$(CLANG_FORMAT) -i $(C_FILES) $(HEADERS)

compdb:
	@json() { printf '%s' "$$1" | sed 's/[\\"]/\\&/g'; }; sep='['; \
	{ for f in $(C_FILES); do \
		printf '%s\n{"directory": "%s", "file": "%s", "command": "%s"}' "$$sep" \
			"$$(json '$(CURDIR)')" "$$f" "$$(json '$(COMPILE)')$$(printf ' -c %s' "$$f")"; \
		sep=','; \
	done; printf '\n]\n'; } >compile_commands.json

# --- installing

BIN := $(DESTDIR)$(PREFIX)/bin
LIBEXEC := $(DESTDIR)$(PREFIX)/libexec/pp
MAN := $(DESTDIR)$(PREFIX)/share/man
DOC := $(DESTDIR)$(PREFIX)/share/doc/pp
SHARE := $(DESTDIR)$(PREFIX)/share/pp
LINKS := pp-preparer pp-setlive pp-iptables pp-sudoers
DOC_FILES := $(wildcard README.md LICENSE HACKING.md)
EXAMPLE_FILES := $(shell find examples -type f 2>/dev/null | sort)
CRON_FILES := $(wildcard cron/*)

install: all
	$(INSTALL) -d '$(BIN)' '$(LIBEXEC)' '$(DOC)' '$(SHARE)/cron'
	$(INSTALL) -m 0755 $(BUILD)/pp '$(BIN)/pp'
	$(INSTALL) -m 0755 $(BUILD)/pp-unpack '$(LIBEXEC)/pp-unpack'
	for l in $(LINKS); do ln -sfn pp '$(BIN)'/$$l || exit 1; done
	for m in $(MAN_FILES); do \
		$(INSTALL) -D -m 0644 $$m '$(MAN)'/man$${m##*.}/$${m##*/} || exit 1; \
	done
	$(INSTALL) -m 0644 $(DOC_FILES) '$(DOC)'
	for f in $(EXAMPLE_FILES); do \
		mode=0644; [ ! -x $$f ] || mode=0755; \
		$(INSTALL) -D -m $$mode $$f '$(SHARE)'/$$f || exit 1; \
	done
	for f in $(CRON_FILES); do \
		sed 's|/usr/local/|$(PREFIX)/|g' $$f >'$(SHARE)'/$$f && chmod 0644 '$(SHARE)'/$$f || exit 1; \
	done

uninstall:
	rm -f '$(BIN)/pp' $(LINKS:%='$(BIN)'/%)
	for m in $(MAN_FILES); do rm -f '$(MAN)'/man$${m##*.}/$${m##*/}; done
	rm -rf '$(LIBEXEC)' '$(DOC)' '$(SHARE)'

# What scripts/consul.sh fetched stays.
clean:
	@[ ! -d '$(BUILD)' ] || find '$(BUILD)' -mindepth 1 -maxdepth 1 ! -name tools -exec rm -rf {} +
	rm -f compile_commands.json
