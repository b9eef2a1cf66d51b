# python3 with all of its objects from malloc (PYTHONMALLOC=malloc): objects with attributes, JSON, regular
# expressions, text, and sorting.
perform() {
    PYTHONMALLOC=malloc PYTHONHASHSEED=0 measured python3 -s - $((3 * scale)) <<'PYTHON'
import json, re, sys

class Order:
    def __init__(self, number):
        self.number = number
        self.lines = [{"article": f"a{number * k % 997}", "count": k, "text": "x" * (number % 70)} for k in range(4)]

total = 0
for turn in range(int(sys.argv[1])):
    orders = {number: Order(number) for number in range(turn * 1000, turn * 1000 + 8000)}
    text = json.dumps([vars(order) for order in orders.values()])
    total += len(text) + len(re.findall(r'"a(\d+)5"', text))
    back = json.loads(text)
    back.sort(key=lambda order: (order["lines"][3]["article"], -order["number"]))
    total += sum(order["number"] * at for at, order in enumerate(back)) % 1000003
    total += len({word for word in text[:400000].split('"')})
print(total)
PYTHON
}
