"""The parsed page as plain objects: what is cheap to walk twice, with the sizes of texts and links."""

from collections.abc import Iterator

from selectolax.lexbor import LexborNode

from ragline.loaders.page import words

# never the text of a page: programs, styles, controls, pictures
DROPPED = words(
    "-comment script style head title meta link base noscript template iframe frame frameset object embed applet"
    " svg canvas audio video map area select option datalist button input textarea dialog"
)

INLINE = words(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark nobr q rp rt ruby s samp"
    " small span strike strong sub sup time tt u var wbr"
)
DEEPEST = 150  # levels kept: deeper ones say nothing about the text, and writers recurse


class Element:
    """An element of a page.

    Attributes:
        tag: lower-case name; "" for the outermost.
        attributes: as written, names in lower case.
        children: elements and texts in order.
        size: characters of text below it, white space left out at the ends of each piece.
        linked: how many of them are inside links.
        links: number of links below it.
    """

    __slots__ = ("attributes", "children", "linked", "links", "parent", "size", "tag")

    def __init__(self, tag: str, attributes: dict[str, str | None], parent: "Element | None") -> None:
        self.tag = tag
        self.attributes = attributes
        self.parent = parent
        self.children: list[Element | str] = []
        self.size = self.linked = self.links = 0

    def get(self, name: str) -> str:
        """Return an attribute in lower case, "" if absent."""
        return (self.attributes.get(name) or "").lower()

    def elements(self) -> Iterator["Element"]:
        """Yield the elements below this one in document order, without recursion."""
        stack = [child for child in reversed(self.children) if isinstance(child, Element)]
        while stack:
            element = stack.pop()
            yield element
            stack.extend(child for child in reversed(element.children) if isinstance(child, Element))

    def drop(self) -> None:
        """Empty this element, and take its text out of the sizes above it."""
        for above in self.above():
            above.size -= self.size
            above.linked -= self.linked
            above.links -= self.links
        self.children = []
        self.size = self.linked = self.links = 0

    def above(self) -> Iterator["Element"]:
        """Yield the elements around this one, innermost first."""
        element = self.parent
        while element is not None:
            yield element
            element = element.parent

    def flat(self) -> str:
        """Return the text below this element on one line."""
        pieces: list[str] = []
        stack: list[Element | str] = [self]
        while stack:
            piece = stack.pop()
            if isinstance(piece, str):
                pieces.append(piece)
            else:
                pieces.append("" if piece.tag in INLINE else " ")
                stack.extend(reversed(piece.children))
        return " ".join("".join(pieces).split())


def read_tree(root: LexborNode) -> Element:
    """Return the tree below a parsed node; what is nested too deeply becomes content of the last level."""
    top = Element("", {}, None)
    order, path = [top], [top]
    pending: list[LexborNode | None] = [root.first_child]
    while pending:
        node = pending[-1]
        if node is None:
            pending.pop()
            path.pop()
            continue
        pending[-1] = node.next
        tag = node.tag or ""
        if tag == "-text":
            path[-1].children.append(node.text_content or "")
        elif tag not in DROPPED and not tag.startswith(("-", "!")):
            path.append(_child(node, tag, path, order))
            pending.append(node.first_child)
    for element in reversed(order):
        _add_sizes(element)
    return top


def _child(node: LexborNode, tag: str, path: list[Element], order: list[Element]) -> Element:
    if len(path) >= DEEPEST:
        return path[-1]
    element = Element(tag, node.attributes, path[-1])
    path[-1].children.append(element)
    order.append(element)
    return element


def _add_sizes(element: Element) -> None:
    for child in element.children:
        if isinstance(child, str):
            element.size += len(child.strip())
        else:
            element.size += child.size
            element.linked += child.linked
            element.links += child.links
    if element.tag == "a" and "href" in element.attributes:
        element.linked, element.links = element.size, 1
