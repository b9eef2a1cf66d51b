# ruby: hashes, strings longer than a slot of its own heap holds, JSON, sorting, and threads that take turns.
perform() {
    measured ruby - $((3 * scale)) <<'RUBY'
require "json"
sum = 0
ARGV[0].to_i.times do |turn|
    hash = {}
    60_000.times { |i| hash["key#{i}"] = ["#{i * turn}" * (i % 9 + 1), { number: i }] }
    hash.delete_if { |_, value| value[1][:number].odd? }
    text = JSON.generate(hash.first(10_000).to_h)
    sum += text.size + JSON.parse(text).size
    threads = 4.times.map do |n|
        Thread.new { (1..8_000).map { |i| "#{n}-#{i * 7919 % 8009}-" + "y" * (i % 60) }.sort.last.size }
    end
    sum += threads.sum(&:value)
    sum += hash.sum { |key, value| key.size * value[0].size }
end
puts sum
RUBY
}
