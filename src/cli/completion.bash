# bash completion for mbrun, mbstat and mbprof. Options and commands are read from --help.

# _memorybucket_words WORD OPTION...: what compgen with the options says of the word
_memorybucket_words() { mapfile -t COMPREPLY < <(compgen "${@:2}" -- "$1"); }

_memorybucket() {
    local program=$1 word=$2 before=$3 help
    COMPREPLY=()
    case ${program##*/}:$COMP_CWORD in
    mbrun:1)
        _memorybucket_words "$word" -c
        return
        ;;
    mbrun:*) # as the program that it starts
        if declare -F _command_offset >/dev/null; then _command_offset 1; else compopt -o default; fi
        return
        ;;
    esac
    help=$("$program" --help 2>/dev/null)
    if [[ $word = -* ]]; then
        before=an_option
    fi
    case ${program##*/}:$COMP_CWORD:$before in
    *:an_option) _memorybucket_words "$word" -W "$(grep -oE '^ +-.*' <<<"$help" | grep -oE -- ' --?[a-zA-Z0-9-]+')" ;;
    mbprof:1:*) _memorybucket_words "$word" -W "$(sed -nE 's/.*mbprof ([a-z]+) .*/\1/p' <<<"$help")" ;;
    mbprof:*:-m | mbprof:*:--metric) _memorybucket_words "$word" -W "$(grep -oE '[a-z]+_(space|objects)' <<<"$help")" ;;
    mbprof:* | mbstat:*:-[rRf]) compopt -o default ;;
    mbstat:*) _memorybucket_words "$word" -W "$("$program" --list 2>/dev/null | awk 'NR > 1 && !/has ended/ { print $1, $2 }')" ;;
    esac
}
complete -F _memorybucket mbrun mbstat mbprof
