# Makes one edit of a mutation: replaces the one occurrence of FIND by WITH, in the function FUNCTION if that is not
# empty. Called by run.sh, which passes the three in the environment, as awk would take backslashes in variables for
# escapes. Prints the file as it becomes; with -v where=1 only the number of each line that has an occurrence.
BEGIN {
    find = ENVIRON["FIND"]
    with = ENVIRON["WITH"]
    name = ENVIRON["FUNCTION"]
    inside = name == ""
}

# A definition begins at the margin with its name before a parenthesis; what ends in ";" is a declaration.
name != "" && /^[A-Za-z_]/ && (at = index($0, name "(")) && (at == 1 || substr($0, at - 1, 1) ~ /[ *]/) { inside = 1 }
name != "" && inside && !within && /^\{/ { within = 1 }
name != "" && inside && !within && /;$/ { inside = 0 }

{
    line = $0
    out = ""
    while (inside && (at = index(line, find))) {
        if (where) {
            print NR
        }
        out = out substr(line, 1, at - 1) with
        line = substr(line, at + length(find))
    }
    if (!where) {
        print out line
    }
}

name != "" && within && /^\}/ { inside = within = 0 }
