# bash completion for mbrun, mbstat and mbprof. Options and commands are read from --help.

# _memorybucket_words WORD OPTION...: what compgen with the options says of the word
_memorybucket_words() { mapfile -t COMPREPLY < <(compgen "${@:2}" -- "$1"); }

_memorybucket() {
    local program=$1 word=$2 before=$3 help='' words=''
    COMPREPLY=()
    if [ "${program##*/}" = mbrun ]; then
        if [ "$COMP_CWORD" = 1 ]; then
            _memorybucket_words "$word" -c
        elif declare -F _command_offset >/dev/null; then
            _command_offset 1 # as the program that it starts
        else
            compopt -o default
        fi
        return
    fi
    help=$("$program" --help 2>/dev/null)
    [[ $word != -* ]] || before=option
    case ${program##*/}:$COMP_CWORD:$before in
    *:option) words=$(grep -oE '^ +-.*' <<<"$help" | grep -oE -- ' --?[a-zA-Z0-9-]+') ;;
    mbprof:1:*) words=$(sed -nE 's/.*mbprof ([a-z]+) .*/\1/p' <<<"$help") ;;
    mbprof:*:-m | mbprof:*:--metric) words=$(grep -oE '[a-z]+_(space|objects)' <<<"$help") ;;
    mbprof:* | mbstat:*:-[rRf])
        compopt -o default
        return
        ;;
    *) words=$("$program" --list 2>/dev/null | awk 'NR > 1 && !/has ended/ { print $1, $2 }') ;;
    esac
    _memorybucket_words "$word" -W "$words"
}
complete -F _memorybucket mbrun mbstat mbprof
