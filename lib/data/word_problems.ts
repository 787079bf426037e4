/**
 * Word problems of our own making, in the style of grade-school arithmetic: a story of two to four steps,
 * numbers drawn at random, the answer computed. `prompts.ts` chooses among them.
 */
import type { Random } from "../random.ts";

/** A question and its computed answer. */
export interface WordProblem {
  text: string;
  answer: number;
}

const GIRLS =
  "Ada Bella Clara Dina Elif Fatima Greta Hana Ines Jade Kira Lucy Mona Nadia Olga Paula Rosa Sana Tara Uma Vera Wendy Yuki Zoe Amina Beth Carla Doris Emma Flora"
    .split(" ");
const BOYS =
  "Adam Ben Carl Dan Erik Felix Goran Hugo Ivan Jonas Karim Leo Milan Noah Omar Pablo Quinn Rafi Sam Theo Umar Viktor Will Yusuf Zack Anton Boris Chris David Elias"
    .split(" ");
const THINGS =
  "apples oranges pears plums lemons peaches cookies muffins pies cakes candies sandwiches books magazines pencils pens erasers notebooks stickers stamps marbles coins cards balls dolls toys shells beads buttons ribbons flowers roses tulips seeds eggs bottles cups plates candles shirts hats socks tickets photos"
    .split(" ");
const PLACES =
  "market,school fair,farm,bakery,library,garden shop,toy store,museum,stadium,bookstore"
    .split(",");
const ANIMALS = "chickens ducks goats sheep cows horses rabbits pigs".split(" ");
const DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(" ");

/** What a story is told with. */
interface Cast {
  name: string;
  other: string;
  she: string;
  her: string;
  thing: string;
  second: string;
  place: string;
  day: string;
  animal: string;
  /** Uniform integer from a to b, both included. */
  n: (a: number, b: number) => number;
}

type Story = (c: Cast) => [text: string, answer: number];
const cap = (s: string) => s[0].toUpperCase() + s.slice(1);

const STORIES: Story[] = [
  ({ name, thing, she, day, n }) => {
    const a = n(5, 40), b = n(2, 5), c = n(1, 9);
    return [
      `${name} sold ${a} ${thing} on ${day}. The next day ${she} sold ${b} times as many ${thing}, and the day after ${she} sold ${c} more. How many ${thing} did ${name} sell in all?`,
      a + a * b + c,
    ];
  },
  ({ name, thing, she, n }) => {
    const price = n(2, 12), count = n(3, 15), paid = price * count + n(1, 30);
    return [
      `${name} buys ${count} ${thing} that cost $${price} each. If ${she} pays with $${paid}, how much change does ${she} get?`,
      paid - price * count,
    ];
  },
  ({ name, other, thing, n }) => {
    const a = n(10, 60), b = n(5, 30), each = n(2, 6);
    return [
      `${name} has ${
        a * each
      } ${thing} and ${other} has ${b} more than ${name}. They put all the ${thing} together. How many ${thing} do they have?`,
      2 * a * each + b,
    ];
  },
  ({ name, thing, she, n }) => {
    const boxes = n(3, 12), per = n(4, 24), gone = n(2, 10);
    return [
      `There are ${boxes} boxes with ${per} ${thing} in each box. ${name} gives away ${gone} ${thing}. How many ${thing} does ${she} have left?`,
      boxes * per - gone,
    ];
  },
  ({ name, she, her, n }) => {
    const rate = n(8, 25), hours = n(3, 9), days = n(2, 6);
    const spend = Math.min(n(5, 60), rate * hours * days - 1);
    return [
      `${name} earns $${rate} an hour. ${
        cap(she)
      } works ${hours} hours a day for ${days} days and then spends $${spend} of ${her} pay. How much money does ${name} have left?`,
      rate * hours * days - spend,
    ];
  },
  ({ name, other, n }) => {
    const age = n(6, 30), more = n(2, 12), years = n(3, 10);
    return [
      `${name} is ${age} years old. ${other} is ${more} years older than ${name}. How old will ${other} be in ${years} years?`,
      age + more + years,
    ];
  },
  ({ name, she, n }) => {
    const speed = n(30, 70), hours = n(2, 6), rest = n(5, 40);
    return [
      `${name} drives at ${speed} miles per hour for ${hours} hours. After a break ${she} drives another ${rest} miles. How many miles does ${name} drive in total?`,
      speed * hours + rest,
    ];
  },
  ({ thing, place, n }) => {
    const rows = n(4, 20), per = n(5, 18), half = n(2, 4);
    return [
      `A ${place} has ${rows} shelves with ${
        per * half
      } ${thing} on each shelf. One out of every ${half} ${thing} is sold. How many ${thing} are left?`,
      rows * per * half - rows * per,
    ];
  },
  ({ name, her, she, n }) => {
    const week = n(5, 40), weeks = n(4, 20), gift = n(10, 80);
    return [
      `${name} saves $${week} every week for ${weeks} weeks. ${
        cap(her)
      } grandmother gives ${name} $${gift} more. How much money has ${she} saved?`,
      week * weeks + gift,
    ];
  },
  ({ animal, name, n }) => {
    const a = n(6, 40), b = n(2, 4), sold = n(1, 5);
    return [
      `${name} has ${a} ${animal} on a farm and ${b} times as many geese. After selling ${sold} geese, how many animals does ${name} have?`,
      a + a * b - sold,
    ];
  },
  ({ name, thing, second, n }) => {
    const p = n(2, 9), q = n(2, 9), a = n(2, 12), b = n(2, 12);
    return [
      `At the store, ${thing} cost $${p} each and ${second} cost $${q} each. ${name} buys ${a} ${thing} and ${b} ${second}. How much does ${name} spend?`,
      p * a + q * b,
    ];
  },
  ({ name, she, n }) => {
    const pages = n(8, 30), days = n(3, 10), left = n(10, 90);
    return [
      `${name} reads ${pages} pages of a book every day. After ${days} days ${she} still has ${left} pages to read. How many pages does the book have?`,
      pages * days + left,
    ];
  },
  ({ thing, name, other, n }) => {
    const friends = n(2, 9), each = n(3, 15), rest = n(1, 8);
    return [
      `${name} and ${other} have ${
        friends * each + rest
      } ${thing}. They keep ${rest} ${thing} and share the rest equally among ${friends} friends. How many ${thing} does each friend get?`,
      each,
    ];
  },
  ({ name, n }) => {
    const width = n(4, 20), longer = n(2, 15), cost = n(2, 9);
    return [
      `${name}'s garden is ${width} feet wide and ${longer} feet longer than it is wide. A fence costs $${cost} per foot. How much does it cost to put a fence around the garden?`,
      2 * (2 * width + longer) * cost,
    ];
  },
  ({ name, she, thing, n }) => {
    const minutes = n(2, 9), count = n(6, 30), pause = n(5, 20);
    return [
      `It takes ${name} ${minutes} minutes to make one of the ${thing}. ${
        cap(she)
      } makes ${count} ${thing} and takes a break of ${pause} minutes. How many minutes does it take?`,
      minutes * count + pause,
    ];
  },
  ({ name, thing, n }) => {
    const price = n(2, 20) * 10, percent = n(1, 5) * 10, count = n(2, 6);
    return [
      `A set of ${thing} costs $${price}. ${name} gets a discount of ${percent}% and buys ${count} sets. How much does ${name} pay?`,
      price * (100 - percent) / 100 * count,
    ];
  },
  ({ place, day, n }) => {
    const adults = n(20, 90), children = n(10, 80), a = n(5, 12), c = n(2, 4);
    return [
      `On ${day}, ${adults} adults and ${children} children visited the ${place}. A ticket costs $${a} for adults and $${c} for children. How much money did the ${place} make?`,
      adults * a + children * c,
    ];
  },
  ({ name, other, thing, n }) => {
    const a = n(4, 20), twice = n(2, 4), less = Math.min(n(1, 4), a * (twice - 1) - 1);
    return [
      `${name} picked ${a} ${thing}. ${other} picked ${twice} times as many ${thing} as ${name}, but lost ${less} of them. How many more ${thing} does ${other} have than ${name}?`,
      a * twice - less - a,
    ];
  },
  ({ name, she, n }) => {
    const cups = n(2, 6), batches = n(3, 12), have = n(1, 5);
    return [
      `A recipe needs ${cups} cups of flour for one batch. ${name} wants to make ${batches} batches and has ${have} cups of flour. How many more cups of flour does ${she} need?`,
      cups * batches - have,
    ];
  },
  ({ place, n }) => {
    const buses = n(3, 12), seats = n(20, 50), empty = n(2, 15);
    return [
      `A school takes ${buses} buses to the ${place}. Each bus has ${seats} seats, and ${empty} seats on each bus are empty. How many students go to the ${place}?`,
      buses * (seats - empty),
    ];
  },
  ({ name, her, n }) => {
    const length = n(3, 9), times = n(2, 6), weeks = n(2, 8);
    return [
      `${name} walks ${her} dog ${length} miles ${times} times a week. How many miles does ${name} walk in ${weeks} weeks?`,
      length * times * weeks,
    ];
  },
  ({ thing, second, n }) => {
    const total = n(10, 40), red = n(2, 5), blue = n(3, 9);
    return [
      `A bag holds ${
        total * red
      } ${thing} and ${second} together. There are ${blue} more ${thing} than twice the ${total} ${second} that were there before. How many ${thing} are there?`,
      2 * total + blue,
    ];
  },
  ({ name, she, n }) => {
    const gallons = n(5, 20), miles = n(15, 40), used = n(10, 60);
    return [
      `${name}'s car goes ${miles} miles on one gallon of gas. The tank holds ${gallons} gallons, and ${name} has driven ${used} miles. How many more miles can ${she} drive?`,
      gallons * miles - used,
    ];
  },
  ({ name, other, n }) => {
    const a = n(5, 30), b = n(5, 30), c = n(2, 9);
    return [
      `${name} scored ${a} points in the first game and ${b} points in the second game. ${other} scored ${c} points more than ${name} in total. How many points did they score together?`,
      2 * (a + b) + c,
    ];
  },
  ({ thing, name, n }) => {
    const jars = n(3, 10), per = n(6, 30), price = n(1, 5);
    return [
      `${name} fills ${jars} jars with ${per} ${thing} each and sells every jar for $${
        price * per
      }. How much money does ${name} make?`,
      jars * price * per,
    ];
  },
];

/** Number of different stories. */
export const STORY_COUNT = STORIES.length;

/** A word problem drawn from a stream of random numbers. */
export function wordProblem(from: Random): WordProblem {
  const girl = from.uniform() < 0.5, second = from.choose(THINGS);
  let thing = from.choose(THINGS);
  while (thing === second) thing = from.choose(THINGS);
  const [text, answer] = from.choose(STORIES)({
    name: from.choose(girl ? GIRLS : BOYS),
    other: from.choose(girl ? BOYS : GIRLS),
    she: girl ? "she" : "he",
    her: girl ? "her" : "his",
    thing,
    second,
    place: from.choose(PLACES),
    day: from.choose(DAYS),
    animal: from.choose(ANIMALS),
    n: (a, b) => a + from.integer(b - a + 1),
  });
  return { text, answer };
}
