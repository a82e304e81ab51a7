#include "advisor/decide/check.h"

const char *verdict_name(enum verdict v) {
    switch (v) {
    case VERDICT_MET:
        return "met";
    case VERDICT_BROKEN:
        return "broken";
    case VERDICT_UNDECIDED:
        return "undecided";
    }
    return "undecided";
}
