"""Sentences and titles in the words of someone who asks."""

import re

from ragline.finetune.examples.scrubbing import plain

_VERBS = frozenset(
    """access add apply assign authenticate automate build call change check choose clean clone compare compile compute
    configure connect control convert copy create customize debug define delete deploy develop disable
    distribute download edit enable evaluate execute expand export extend fetch find fix forward generate get
    grant handle implement import improve increase initialize install integrate invoke join launch limit list
    load log manage mark measure merge migrate modify monitor mount move obtain open optimize organize override
    package pass pause perform port prepare prevent profile provide publish pull push query read record reduce
    register release remove rename replace report request reset resolve restart restore resume retrieve return
    review roll rotate run save scale schedule search secure select send serve set share show shut sign specify
    start stop store submit switch sync test track train transfer trigger troubleshoot tune turn understand
    uninstall update upgrade upload use validate verify view visualize wait watch work write""".split()
)
_NUMBERING = re.compile(
    r"^(?:(?:step|part|chapter|section|appendix)\s+)?(?:\d+(?:\.\d+)*|[ivx]+|[a-z])[.):]\s+", re.IGNORECASE
)
_ITEM = re.compile(r"^(?:[-*+•]|\d+[.)])\s+")
_LABEL = re.compile(
    r"^(?:note|warning|tip|important|caution|attention|hint|info|required|optional)\s*[.:]\s*", re.IGNORECASE
)
_ABOUT = re.compile(
    r"^(?:(?:in )?(?:this|the following) (?:\w+ )?(?:page|guide|section|document|article|tutorial|topic|example|chapter"
    r"|doc|quickstart|overview)s?,?(?: (?:you|we)(?:'ll| will| can)?)?|here,? (?:you|we)(?:'ll| will| can)?)"
    r" (?:also )?(?:briefly )?(?:describes?|explains?|shows?|covers?|provides?|contains?|discuss(?:es)?|introduces?"
    r"|demonstrates?|outlines?|details?|walks? (?:you )?through|learn|find|see|is about)"
    r"(?: you| a| an| the| some| information| instructions| details| steps| overview| guide| description| of| on| about"
    r"| for)*\s+",
    re.IGNORECASE,
)
_PURPOSE = re.compile(
    r"^(?:(?:for example|alternatively|finally|next|then|first|also|optionally),? )?"
    r"(?:(?:in order )?to|if you (?:want|need|would like|wish) to|you can(?: also)?|use \S+(?: \S+){0,3} to) "
    r"(?P<verb>[a-z]+)(?P<rest> [^,;:]+?)(?P<end>,| by | using | with the following| as follows|[;:.]|$)",
    re.IGNORECASE,
)
_REFERENCE = re.compile(
    r"^(?:see|refer to|visit|check out|click)\b|^(?:for|to) .{0,40}(?:information|details|help|see|learn)\b"
    r"|\b(?:see|refer to|visit|check out)\b",
    re.IGNORECASE,
)
_DANGLING = re.compile(
    r"^(?:this|these|that|those|it|its|they|their|such|he|she|see|refer to|following)\b"
    r"|(?:\b(?:below|follows|following)|:)$",
    re.IGNORECASE,
)
_FIELD = re.compile(r"^[\w ]{2,24}: .{0,32}$")
_PASSIVE = re.compile(
    r"^(?P<what>[\w'./() -]{3,60}?) (?:can|may|must|should)(?: also| only)? be"
    r" (?P<done>\w+ed|set|built|run|written|read|found|given|made|sent|kept) (?:by|using|via|through|with)\b",
)
_CLAUSE_END = re.compile(
    r",? (?:which|that|because|so that|such as|including|where|when|if|and|but|or|since|while) |[,;:] "
)
_WORDS = 18
"""A longer query is cut, at the end of a clause if there is one behind `_CLAUSE` words: people ask in fewer words."""
_CLAUSE = 7
_LITTLE = frozenset("a an and as at by for from if in is its of on or than that the to with".split())


def bare(text: str) -> str:
    """Return a sentence or title without item marks, numbering and labels such as "Note:"."""
    text = _NUMBERING.sub("", _ITEM.sub("", plain(text)))
    return _LABEL.sub("", _LABEL.sub("", text)).strip()


def begins_with_verb(title: str) -> bool:
    """Tell whether a title says what to do ("Install the client"), by a list of English verbs."""
    words = title.split(maxsplit=2)
    return len(words) > 1 and words[0].lower() in _VERBS


def lowered(title: str) -> str:
    """Return a title as it stands inside a sentence: its first letter small, unless it is a name.

    Example:
        >>> lowered("Roll back a release"), lowered("Azure Blob Storage"), lowered("DNS names")
        ('roll back a release', 'Azure Blob Storage', 'DNS names')
    """
    first, *others = title.split() or [""]
    is_word = first[1:].islower() or first == "A"
    is_name = any(word[:1].isupper() for word in others) and first.lower() not in _VERBS
    return title[:1].lower() + title[1:] if is_word and not is_name else title


def asked(sentence: str, *, english: bool, draw: int) -> str:
    """Return a sentence as someone would ask for it; "" when nobody would, since it points at its neighbours.

    Args:
        sentence: of the documents.
        english: whether English phrasings may be made of it.
        draw: chooses among the phrasings.
    """
    text = bare(sentence)
    if english:
        text = _ABOUT.sub("", text)
        if match := _PURPOSE.match(text):
            verb, rest = match["verb"].lower(), match["rest"].rstrip()
            if verb in _VERBS and 2 <= len(rest.split()) <= 18:
                return f"{('how to', 'how do I', 'how can I', 'how to')[draw % 4]} {verb}{rest}"
        if (match := _PASSIVE.match(text)) and not _DANGLING.match(text):
            return f"how can {lowered(match['what'])} be {match['done']}?"
        if _REFERENCE.search(text) or _DANGLING.search(text.rstrip(".")):
            return ""
    return shortened(text)


def shortened(text: str) -> str:
    """Return the beginning of a sentence, as long as a query may be."""
    words = text.rstrip(".:。 ").split()
    if len(words) <= _WORDS:
        return " ".join(words)
    least, most = (len(" ".join(words[:count])) for count in (_CLAUSE, _WORDS))
    ends = [match.start() for match in _CLAUSE_END.finditer(" ".join(words)[: most + 1], least)]
    return trimmed(" ".join(words)[: ends[-1] if ends else most])


def trimmed(text: str) -> str:
    """Return a stretch of a sentence without the little words that a cut leaves at its end."""
    words = text.rstrip(",;:- ").split()
    while words and words[-1].lower() in _LITTLE:
        words.pop()
    return " ".join(words)


def is_query(text: str) -> bool:
    """Tell whether a text has enough words, and words rather than signs, to be asked."""
    letters = sum(character.isalpha() for character in text)
    words = len(text.split())
    ideographs = sum("\u3040" <= character <= "\u9fff" for character in text)
    if _FIELD.match(text):  # "Release date: May 27"
        return False
    return (words >= 4 or ideographs >= 6) and letters >= 0.6 * len(text.replace(" ", ""))
